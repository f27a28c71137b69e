/* SPDX-License-Identifier: ISC */
/* mysql_table(5), by MariaDB's client library */
#include <mysql.h>
#include <pthread.h>

#include "conf/table_sql.h"

enum { CONNECT_S = 10, ANSWER_S = 30 };

static pthread_once_t library_once = PTHREAD_ONCE_INIT;

static void library_begin(void)
{
	mysql_library_init(0, NULL, NULL);
}

/* "inet:host:port", "unix:path", "host", "host:port" */
static void split_host(struct str text, struct arena *a, const char **host_r,
	const char **path_r, unsigned *port_r)
{
	uint64_t port = 0;

	*host_r = *path_r = NULL;
	*port_r = 0;
	if (str_starts(text, "unix:")) {
		*path_r = arena_cstr(a, str_from_at(text, 5));
		return;
	}
	if (str_starts(text, "inet:"))
		text = str_from_at(text, 5);
	struct str host = str_cut(&text, ':');
	*host_r = arena_cstr(a, host);
	if (str_present(text) && str_u64(text, &port) && port < 65536)
		*port_r = (unsigned)port;
}

static void *db_connect(const struct sql_conf *c, struct str where,
	struct arena *a, struct fault *f)
{
	unsigned connect_s = CONNECT_S, answer_s = ANSWER_S, port;
	const char *host, *path;

	pthread_once(&library_once, library_begin);
	MYSQL *db = mysql_init(NULL);
	if (db == NULL) {
		fault_set(f, FAULT_TEMP, 451, 3, 0, "mysql: no memory");
		return NULL;
	}
	split_host(where, a, &host, &path, &port);
	mysql_options(db, MYSQL_OPT_CONNECT_TIMEOUT, &connect_s);
	mysql_options(db, MYSQL_OPT_READ_TIMEOUT, &answer_s);
	mysql_options(db, MYSQL_OPT_WRITE_TIMEOUT, &answer_s);
	mysql_options(db, MYSQL_SET_CHARSET_NAME,
		c->encoding.len > 0 ? arena_cstr(a, c->encoding) : "utf8mb4");
	if (mysql_real_connect(db, host, arena_cstr(a, c->user),
		    arena_cstr(a, c->password), arena_cstr(a, c->dbname), port,
		    path, CLIENT_MULTI_RESULTS) != NULL)
		return db;
	fault_set(f, FAULT_TEMP, 451, 3, 0, "mysql %.*s: %s", STR_ARG(where),
		mysql_error(db));
	mysql_close(db);
	return NULL;
}

static void db_close(void *link)
{
	mysql_close(link);
}

static struct str db_escape(void *link, struct str s, struct arena *a)
{
	char *out = arena_alloc(a, s.len * 2 + 1);
	unsigned long n = mysql_real_escape_string(link, out, s.ptr, s.len);

	return n == (unsigned long)-1 ? STR("") : str_of(out, n);
}

static void take_rows(MYSQL_RES *result, struct sql_rows *rows)
{
	unsigned columns = mysql_num_fields(result);
	MYSQL_ROW row;

	while ((row = mysql_fetch_row(result)) != NULL) {
		unsigned long *lengths = mysql_fetch_lengths(result);

		for (unsigned i = 0; i < columns; i++)
			if (row[i] != NULL)
				sql_row(rows, str_of(row[i], lengths[i]));
	}
}

static bool db_query(void *link, struct str sql, struct sql_rows *rows,
	bool *lost_r, struct fault *f)
{
	bool ok = mysql_real_query(link, sql.ptr, sql.len) == 0;

	/* A stored procedure has several results. */
	for (int more = 0; ok && more == 0; more = mysql_next_result(link)) {
		MYSQL_RES *result = mysql_store_result(link);

		if (result != NULL) {
			take_rows(result, rows);
			mysql_free_result(result);
		} else if (mysql_errno(link) != 0) {
			ok = false;
		}
	}
	if (ok && mysql_errno(link) == 0)
		return true;
	/* What the library says by itself, not the server: the line is dead. */
	*lost_r = mysql_errno(link) >= 2000;
	return fault_set(
		f, FAULT_TEMP, 451, 3, 0, "mysql: %s", mysql_error(link));
}

static const struct sql_driver driver = {
	db_connect, db_close, db_escape, db_query, false};

static bool open_table(struct table *t, unsigned flags UNUSED,
	struct problems *p, struct fault *f)
{
	return sql_open(t, &driver, p, f);
}

const struct table_engine table_mysql = {
	open_table, sql_lookup, sql_close, .waits = true};
