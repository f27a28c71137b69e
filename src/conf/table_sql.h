/* SPDX-License-Identifier: ISC */
#ifndef CONF_TABLE_SQL_H
#define CONF_TABLE_SQL_H

/*
 * What mysql_table(5), pgsql_table(5), sqlite_table(5) and ldap_table(5) have
 * in common: the file of parameters, the query with the key in it, the result,
 * the kept connections.  A driver knows one library.
 */

#include "base/buf.h"
#include "conf/table_private.h"

struct sql_conf {
	struct strs hosts; /* "inet:host:port", "unix:path", "host"; tried in
			    * order */
	struct str user, password, dbname, dbpath, encoding;
	struct str query;
	struct str result_format;
	struct str domain; /* names that are asked for; empty: all */
	int64_t expansion_limit; /* 0: no limit */
	struct { /* ldap only; query is the filter */
		struct str search_base, scope, bind, bind_dn, bind_pw;
		struct str attributes, start_tls, ca_file;
		int64_t server_port, timeout; /* seconds */
	} ldap;
};

/* Rows of one column each, made by sql_row. */
struct sql_rows {
	struct buf out; /* joined by commas */
	int64_t n;
	const struct sql_conf *c;
	struct str key;
	struct arena *a;
};
/* Adds one column of a row; empty ones are left out. */
void sql_row(struct sql_rows *rows, struct str column);

struct sql_driver {
	/* NULL and the fault */
	void *(*connect)(const struct sql_conf *c, struct str host,
		struct arena *a, struct fault *f);
	void (*close)(void *link);
	/* key, safe between the quotes of a literal */
	struct str (*escape)(void *link, struct str key, struct arena *a);
	/* *lost_r: the connection is gone, another may do better */
	bool (*query)(void *link, struct str sql, struct sql_rows *rows,
		bool *lost_r, struct fault *f);
	bool is_file; /* dbpath in place of hosts */
	bool is_ldap; /* query begins with the search base and a line end */
};

bool sql_open(struct table *t, const struct sql_driver *d, struct problems *p,
	struct fault *f);
enum table_result sql_lookup(struct table *t, struct str key, struct arena *a,
	struct str *value_r, struct fault *f);
void sql_close(struct table *t);

/*
 * template with %s %u %d %1..%9 (and %S %U %D, the same of key) filled in, each
 * escaped by the driver's function or not (NULL).  False when a part that
 * value does not have is asked for.
 */
bool sql_expand(struct str template, struct str value, struct str key,
	const struct sql_driver *d, void *link, struct arena *a,
	struct buf *out);

#endif
