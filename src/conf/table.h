/* SPDX-License-Identifier: ISC */
#ifndef CONF_TABLE_H
#define CONF_TABLE_H

/*
 * table: lookup tables, "type:name".
 *
 * hash, btree, lmdb, dbm, cdb, texthash: the text source is read, no .db
 * inline, static, fail: the value stands in the name
 * cidr, regexp, pcre: rules in order, the first that matches counts
 * unix: passwd.byname, group.byname
 * unionmap, pipemap, randmap: made of others
 * tcp, socketmap, mysql, pgsql, ldap, sqlite: somebody else is asked; the
 * answer is not kept accounts: the built-in account directory, through a
 * function proxy: is dropped
 *
 * A file is looked at again at most once a second; an edit that does not
 * parse or a file that vanishes leaves the last good version in force and is
 * told to the notice function.  Thread-safe.
 */

#include <sys/types.h>

#include "base/fault.h"
#include "conf/conf.h"

enum table_result { TABLE_FOUND, TABLE_NONE, TABLE_ERROR };

/* What the tables cannot know by themselves. */
struct table_env {
	/* accounts: what is asked; value in the arena */
	enum table_result (*account)(struct str key, struct arena *a,
		struct str *value_r, struct fault *f, void *ctx);
	/* a table went bad or well again; file and text */
	void (*notice)(struct str name, struct str text, void *ctx);
	void *ctx;
};

struct tables; /* all tables of a process, each opened once */
struct tables *tables_new(const struct table_env *env);
void tables_free(struct tables *t);

/* A list of tables, asked in order. */
struct maps;
enum maps_flags {
	MAPS_ALIASES = 1u << 0, /* text sources are in aliases(5) format */
};
/*
 * Opens what a parameter names.  Bad items become problems of that parameter
 * and are left out.  NULL for an empty list.  Owned by the tables.
 */
struct maps *maps_open(struct tables *t, const struct conf *c,
	const char *param, struct str list, unsigned flags,
	struct problems *problems);

/* One key against each table in order; *value_r lives in the arena. */
enum table_result maps_lookup(struct maps *m, struct str key, struct arena *a,
	struct str *value_r, struct fault *f);
/*
 * postconf(5) address lookup order: user+ext@dom, user@dom, then (when the
 * domain is ours) user+ext, user, then @dom.  *ext_r is the extension that
 * was dropped before the match, absent if none.
 */
struct address_keys {
	struct str delimiter; /* recipient_delimiter */
	bool domain_is_ours;
	bool user_at; /* access maps: "user@" forms and the bare domain */
};
enum table_result maps_lookup_address(struct maps *m, struct str address,
	const struct address_keys *keys, struct arena *a, struct str *value_r,
	struct str *ext_r, struct fault *f);

/* user+ext split as postconf(5) recipient_delimiter says. */
bool address_extension(struct str local, struct str delimiter,
	bool owner_request_special, struct str *user_r, struct str *ext_r);

/* Who owns the file in which maps_lookup finds the key; -1: no file. */
uid_t maps_owner(struct maps *m, struct str key, struct arena *a);

/* All values of tables that are text; false when another kind is among them. */
bool maps_values(struct maps *m, struct arena *a, struct strs *values);
/* All keys, in the same way. */
bool maps_keys(struct maps *m, struct arena *a, struct strs *keys);

/* Files that the tables of a list read; for the sandbox. */
void maps_paths(struct str list, struct arena *a, struct strs *paths);

/* Do tables of a list ask a server? */
bool maps_need_network(struct str list);

/* "type:name" cut; type absent when s has none. */
void table_spec_split(struct str s, struct str *type_r, struct str *name_r);

#endif
