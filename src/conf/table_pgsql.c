/* SPDX-License-Identifier: ISC */
/* pgsql_table(5), by libpq */
#include <libpq-fe.h>

#include "conf/table_sql.h"

enum { NAMES_MAX = 12 };

struct options {
	const char *names[NAMES_MAX], *values[NAMES_MAX];
	size_t n;
};

static void option(struct options *o, const char *name, const char *value)
{
	o->names[o->n] = name;
	o->values[o->n++] = value;
}

/* "inet:host:port", "unix:directory", "host", "host:port", or a URI */
static void put_host(struct options *o, struct str text, struct arena *a)
{
	if (str_starts(text, "postgresql:")) {
		option(o, "dbname", arena_cstr(a, text));
		return;
	}
	if (str_starts(text, "unix:")) {
		option(o, "host", arena_cstr(a, str_from_at(text, 5)));
		return;
	}
	if (str_starts(text, "inet:"))
		text = str_from_at(text, 5);
	struct str host = str_cut(&text, ':');
	option(o, "host", arena_cstr(a, host));
	if (str_present(text))
		option(o, "port", arena_cstr(a, text));
}

static void *db_connect(const struct sql_conf *c, struct str where,
	struct arena *a, struct fault *f)
{
	struct options o = {.n = 0};

	if (c->dbname.len > 0)
		option(&o, "dbname", arena_cstr(a, c->dbname));
	put_host(&o, where, a);
	if (c->user.len > 0)
		option(&o, "user", arena_cstr(a, c->user));
	if (c->password.len > 0)
		option(&o, "password", arena_cstr(a, c->password));
	option(&o, "connect_timeout", "10");
	option(&o, "client_encoding",
		c->encoding.len > 0 ? arena_cstr(a, c->encoding) : "UTF8");
	option(&o, "options", "-c statement_timeout=30000");
	/* Nothing is read from anybody's home. */
	option(&o, "passfile", "/dev/null");
	o.names[o.n] = NULL;
	PGconn *db = PQconnectdbParams(o.names, o.values, 1);
	if (PQstatus(db) == CONNECTION_OK)
		return db;
	fault_set(f, FAULT_TEMP, 451, 3, 0, "pgsql %.*s: %s", STR_ARG(where),
		PQerrorMessage(db));
	PQfinish(db);
	return NULL;
}

static void db_close(void *link)
{
	PQfinish(link);
}

static struct str db_escape(void *link, struct str s, struct arena *a)
{
	char *out = arena_alloc(a, s.len * 2 + 1);
	int error = 0;
	size_t n = PQescapeStringConn(link, out, s.ptr, s.len, &error);

	/* Bytes that are no text in the connection's encoding match nothing. */
	return error != 0 ? STR("") : str_of(out, n);
}

static bool db_query(void *link, struct str sql, struct sql_rows *rows,
	bool *lost_r, struct fault *f)
{
	PGresult *r = PQexec(link, arena_cstr(rows->a, sql));
	ExecStatusType status = PQresultStatus(r);

	if (status == PGRES_TUPLES_OK)
		for (int i = 0; i < PQntuples(r); i++)
			for (int k = 0; k < PQnfields(r); k++)
				if (!PQgetisnull(r, i, k))
					sql_row(rows,
						str_of(PQgetvalue(r, i, k),
							(size_t)PQgetlength(
								r, i, k)));
	bool ok = status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK;
	if (!ok)
		fault_set(f, FAULT_TEMP, 451, 3, 0, "pgsql: %s",
			PQresultErrorMessage(r));
	*lost_r = PQstatus(link) != CONNECTION_OK;
	PQclear(r);
	return ok;
}

static const struct sql_driver driver = {
	db_connect, db_close, db_escape, db_query, false};

static bool open_table(struct table *t, unsigned flags UNUSED,
	struct problems *p, struct fault *f)
{
	return sql_open(t, &driver, p, f);
}

const struct table_engine table_pgsql = {
	open_table, sql_lookup, sql_close, .waits = true};
