/* SPDX-License-Identifier: ISC */
#ifndef CONF_CONF_H
#define CONF_CONF_H

/*
 * conf: main.cf read, expanded and typed.
 *
 * One struct field for each entry of params.def.  A struct conf is made once
 * and only read afterwards, so threads may share it.  A listener of
 * master.cf with -o overrides has a conf of its own.
 */

#include "base/fault.h"
#include "base/map.h"
#include "conf/problem.h"

/* RAW: a text in which $ is itself. */
enum param_type { PARAM_STR, PARAM_RAW, PARAM_BOOL, PARAM_INT, PARAM_TIME };

struct param {
	const char *name;
	enum param_type type;
	const char *fallback;
	const char *doc;
	size_t offset; /* of the field in struct conf */
};
extern const struct param params[];
extern const size_t n_params;

enum known_kind {
	KNOWN_NEVER,
	KNOWN_OTHER,
	KNOWN_TRANSPORT,
	KNOWN_LMTP,
	KNOWN_SCREEN,
	KNOWN_ACTS
};
struct known_param {
	const char *name;
	enum known_kind kind;
	const char *fallback;
	const char *text;
};
extern const struct known_param known_params[];
extern const size_t n_known_params;

struct conf_entry {
	struct str name;
	struct str raw;
	struct str file;
	unsigned line;
};

#define CONF_TYPE_STR struct str
#define CONF_TYPE_RAW struct str
#define CONF_TYPE_BOOL bool
#define CONF_TYPE_INT int64_t
#define CONF_TYPE_TIME int64_t

struct own_address {
	unsigned char bytes[16];
	size_t len;
};

struct conf {
	struct str dir; /* where main.cf lies */
	struct str main_cf;
	struct str main_text; /* of main.cf, as it was read */
	struct str master_text; /* of master.cf; absent: there is none */
	struct arena *a;
	struct map *entries; /* name to struct conf_entry */
	struct conf_entry *order; /* as they stand in the file */
	size_t n_order;
	struct map *computed; /* defaults that depend on the machine */
	struct own_address *own; /* own_address.c */
	size_t n_own;
	bool own_loopback; /* all of 127.0.0.0/8 */
#define PARAM(type, name, fallback, doc) CONF_TYPE_##type name;
#define PARAM_AS(type, field, name, fallback, doc) CONF_TYPE_##type field;
#include "conf/params.def"
#undef PARAM
#undef PARAM_AS
};

struct conf_override {
	struct str name;
	struct str value;
	unsigned line; /* of master.cf */
};

/*
 * Reads DIR/main.cf and DIR/master.cf.  Problems are added, an unreadable file
 * is one of them; the result is complete in any case (defaults where a value is
 * bad) and NULL never.  Lives until conf_free.
 */
struct conf *conf_load(const char *dir, struct problems *problems);
/* The same from texts that were read before: the roles and the -o lines of
 * master.cf see what master accepted, whatever is being edited meanwhile.
 * An absent main text is a problem that the caller has told.  The texts must
 * outlive the conf. */
struct conf *conf_load_texts(const char *dir, struct str main_text,
	struct str master_text, const struct conf_override *overrides,
	size_t n_overrides, struct problems *problems);
void conf_free(struct conf *c);

/* DIR by -c, $MAIL_CONFIG, /etc/postern, /etc/postfix: the first there is. */
const char *conf_find_dir(const char *from_option);

/* The entry as written; NULL when it is not set. */
const struct conf_entry *conf_entry(const struct conf *c, struct str name);
/* Any name, known or user-defined, expanded; absent when nobody defines it. */
bool conf_expand_name(const struct conf *c, struct str name, struct arena *a,
	struct str *value_r, const char **why_r);
/* Unexpanded: the file's, or the default; absent when there is none. */
struct str conf_raw(const struct conf *c, struct str name);
bool conf_expand_text(const struct conf *c, struct str text, struct arena *a,
	struct str *value_r, const char **why_r);
const struct param *param_find(struct str name);
const struct known_param *known_param_find(struct str name);

/* Adds a problem at the line where a parameter is set. */
void conf_problem(const struct conf *c, struct problems *p,
	enum problem_level level, const char *param, struct str what,
	struct str write);

/* Our own addresses: inet_interfaces and proxy_interfaces, as the interfaces
 * were when the configuration was loaded (postconf(5) inet_interfaces: a
 * change needs a restart). */
bool conf_is_own_address(
	const struct conf *c, const unsigned char *addr, size_t len);
void conf_find_own_addresses(struct conf *c); /* at the end of loading */

/* Does a comma or blank separated list have the word? */
bool conf_option_has(struct str list, const char *word);

#endif
