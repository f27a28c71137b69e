/* SPDX-License-Identifier: ISC */
#ifndef CONF_TABLE_PRIVATE_H
#define CONF_TABLE_PRIVATE_H

/* For the engines of conf/table.h only. */

#include <pthread.h>
#include <sys/stat.h>

#include "conf/table.h"

/* What was read from a source; immutable, counted. */
struct table_content {
	int refs; /* under the table's lock */
	struct arena *a;
	struct map *map; /* text sources */
	struct table_rule *rules; /* cidr, regexp, pcre */
	size_t n_rules;
};

enum table_kind {
	TABLE_TEXT,
	TABLE_INLINE,
	TABLE_STATIC,
	TABLE_FAIL,
	TABLE_CIDR,
	TABLE_REGEXP,
	TABLE_UNIX,
	TABLE_ACCOUNTS,
	TABLE_ENGINE, /* asks somebody else: table_engine */
};

struct table;

/* A kind of table that lives in a file of its own. */
struct table_engine {
	/* Reads t->name; sets t->state.  False with a fault, or problems. */
	bool (*open)(struct table *t, unsigned flags, struct problems *p,
		struct fault *f);
	enum table_result (*lookup)(struct table *t, struct str key,
		struct arena *a, struct str *value_r, struct fault *f);
	void (*close)(struct table *t);
	bool waits; /* for a server, in a library that does not say so */
};
extern const struct table_engine table_unionmap, table_pipemap, table_randmap,
	table_tcp, table_socketmap, table_sqlite, table_mysql, table_pgsql,
	table_ldap;

struct table {
	enum table_kind kind;
	struct str spec; /* type:name, the key of the cache */
	struct str type;
	struct str name;
	bool aliases;
	pthread_mutex_t lock; /* content, seen, checked_ms, bad */
	struct table_content *content;
	struct stat seen;
	int64_t checked_ms;
	bool bad;
	struct tables *owner;
	const struct table_engine *engine; /* of TABLE_ENGINE */
	void *state;
};

/* The one table of that spec: opened at the first time. */
struct table *tables_get(struct tables *t, struct str spec, unsigned flags,
	struct problems *problems, struct fault *f);
/* All values; false: it is of a kind that cannot tell them. */
bool table_values(struct table *t, struct arena *a, struct strs *values);
bool table_keys(struct table *t, struct arena *a, struct strs *keys);
/* Of its file; -1 without. */
uid_t table_owner(struct table *t);
/* For tables made of tables: those of a list, opened in the same way.  The
 * first that cannot be is the fault. */
bool tables_open_list(struct tables *t, struct str list, unsigned flags,
	struct problems *p, struct table ***v_r, size_t *n_r, struct fault *f);
enum table_result table_lookup(struct table *t, struct str key, struct arena *a,
	struct str *value_r, struct fault *f);
struct arena *tables_arena(struct tables *t);
/* table_sqlite.c: the database that the file path names; absent without. */
struct str table_sqlite_path(const char *path, struct arena *a);

struct table_reader {
	struct table_content *content;
	struct problems *problems; /* may be NULL */
	struct str file;
	unsigned errors;
};

void table_read_text(struct table_reader *r, struct str text, bool aliases);
void table_read_rules(struct table_reader *r, struct str text, bool cidr);
void table_rules_free(struct table_content *content);
enum table_result table_match_rules(const struct table_content *content,
	struct str key, struct arena *a, struct str *value_r, struct fault *f);
enum table_result table_unix(struct str name, struct str key, struct arena *a,
	struct str *value_r, struct fault *f);

#endif
