/* SPDX-License-Identifier: ISC */
/* sqlite_table(5) */
#include <sqlite3.h>

#include "codec/postfix/lines.h"
#include "conf/table_sql.h"
#include "sys/file.h"

enum { BUSY_MS = 5000, CONF_BYTES_MAX = 1 << 20 };

static void *file_connect(const struct sql_conf *c UNUSED, struct str path,
	struct arena *a, struct fault *f)
{
	sqlite3 *db = NULL;

	if (sqlite3_open_v2(arena_cstr(a, path), &db,
		    SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX,
		    NULL) == SQLITE_OK) {
		sqlite3_busy_timeout(db, BUSY_MS);
		return db;
	}
	fault_set(f, FAULT_TEMP, 451, 3, 0, "%.*s: %s", STR_ARG(path),
		db != NULL ? sqlite3_errmsg(db) : "no memory");
	sqlite3_close(db);
	return NULL;
}

static void file_close(void *link)
{
	sqlite3_close(link);
}

static struct str file_escape(void *link UNUSED, struct str s, struct arena *a)
{
	char *quoted = sqlite3_mprintf("%.*q", (int)s.len, s.ptr);
	struct str copy = arena_str(a, str_from(quoted));

	sqlite3_free(quoted);
	return copy;
}

static bool file_query(void *link, struct str sql, struct sql_rows *rows,
	bool *lost_r, struct fault *f)
{
	sqlite3_stmt *st;
	int r = sqlite3_prepare_v2(link, sql.ptr, (int)sql.len, &st, NULL);

	if (r == SQLITE_OK && st != NULL) {
		while ((r = sqlite3_step(st)) == SQLITE_ROW)
			for (int i = 0; i < sqlite3_column_count(st); i++)
				sql_row(rows,
					str_of(sqlite3_column_text(st, i),
						(size_t)sqlite3_column_bytes(
							st, i)));
		sqlite3_finalize(st);
	}
	if (r == SQLITE_OK || r == SQLITE_DONE)
		return true;
	fault_set(f, FAULT_TEMP, 451, 3, 0, "sqlite: %s", sqlite3_errmsg(link));
	/* The file may have been replaced. */
	*lost_r = r != SQLITE_BUSY;
	return false;
}

static const struct sql_driver driver = {
	file_connect, file_close, file_escape, file_query, true};

static bool open_table(struct table *t, unsigned flags UNUSED,
	struct problems *p, struct fault *f)
{
	return sql_open(t, &driver, p, f);
}

struct str table_sqlite_path(const char *path, struct arena *a)
{
	struct buf text CLEANUP(buf_fini);
	struct logical_lines lines;
	struct logical_line line;
	struct str name, value;
	struct fault f;

	buf_init(&text, CONF_BYTES_MAX + 65536);
	if (!file_read(path, CONF_BYTES_MAX, &text, &f))
		return STR_NONE;
	logical_lines_init(&lines, buf_str(&text), a);
	while (logical_lines_next(&lines, &line))
		if (assignment_parse(line.text, &name, &value) ==
				ASSIGNMENT_OK &&
			str_eqc(name, "dbpath"))
			return arena_str(a, value);
	return STR_NONE;
}

const struct table_engine table_sqlite = {open_table, sql_lookup, sql_close};
