/* SPDX-License-Identifier: ISC */
#include "db/db.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "db/wal_vfs.h"

enum { STATEMENTS_MAX = 128 };

struct statement {
	const char *sql; /* a literal: compared by address */
	sqlite3_stmt *stmt;
};

struct db {
	sqlite3 *handle;
	struct statement cache[STATEMENTS_MAX];
	size_t n_cache;
};

static bool db_fault(struct db *db, struct fault *f, const char *what)
{
	int code = sqlite3_extended_errcode(db->handle);
	bool full = (code & 0xff) == SQLITE_FULL;

	/* RFC 3463 3.4: 4.3.1 mail system full */
	return fault_set(f, FAULT_TEMP, full ? 452 : 451, 3, full ? 1 : 0,
		"storage: %s: %s", what, sqlite3_errmsg(db->handle));
}

void db_configure(void)
{
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

struct db *db_open(const char *path, enum db_mode mode, struct fault *f)
{
	struct db *db = must_alloc(sizeof(*db));
	int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_READWRITE |
		    (mode != DB_READ ? SQLITE_OPEN_CREATE : 0);
	const char *vfs = mode == DB_WRITE ? wal_vfs_name() : NULL;

	if (sqlite3_open_v2(path, &db->handle, flags, vfs) != SQLITE_OK) {
		fault_set(f, FAULT_TEMP, 451, 3, 0, "storage: %s: %s", path,
			sqlite3_errmsg(db->handle));
		sqlite3_close(db->handle);
		free(db);
		return NULL;
	}
	sqlite3_extended_result_codes(db->handle, 1);
	sqlite3_busy_timeout(db->handle, 10000);
	if (!db_exec(db,
		    "PRAGMA journal_mode=WAL;"
		    "PRAGMA synchronous=FULL;"
		    "PRAGMA temp_store=MEMORY;"
		    /* Debian's writes each page that goes once more, empty. */
		    "PRAGMA secure_delete=FAST;"
		    /* Hot pages are copied into the file once in 16 MiB of
		     * changes, not in 4. */
		    "PRAGMA wal_autocheckpoint=4096;"
		    "PRAGMA cache_size=-4096",
		    f) ||
		(mode == DB_READ && !db_exec(db, "PRAGMA query_only=1", f)) ||
		(mode == DB_LOOSE &&
			!db_exec(db, "PRAGMA synchronous=OFF", f))) {
		db_close(db);
		return NULL;
	}
	return db;
}

void db_close(struct db *db)
{
	if (db == NULL)
		return;
	for (size_t i = 0; i < db->n_cache; i++)
		sqlite3_finalize(db->cache[i].stmt);
	sqlite3_close(db->handle);
	free(db);
}

bool db_exec(struct db *db, const char *sql, struct fault *f)
{
	if (sqlite3_exec(db->handle, sql, NULL, NULL, NULL) == SQLITE_OK)
		return true;
	return db_fault(db, f, "statement");
}

static sqlite3_stmt *prepare(struct db *db, const char *sql, struct fault *f)
{
	sqlite3_stmt *stmt = NULL;

	for (size_t i = 0; i < db->n_cache; i++)
		if (db->cache[i].sql == sql)
			return db->cache[i].stmt;
	if (sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT,
		    &stmt, NULL) != SQLITE_OK) {
		db_fault(db, f, sql);
		return NULL;
	}
	must(db->n_cache < STATEMENTS_MAX);
	db->cache[db->n_cache++] = (struct statement){sql, stmt};
	return stmt;
}

static sqlite3_stmt *bind(struct db *db, struct fault *f, const char *sql,
	const char *fmt, va_list args)
{
	sqlite3_stmt *stmt = prepare(db, sql, f);

	if (stmt == NULL)
		return NULL;
	sqlite3_reset(stmt);
	sqlite3_clear_bindings(stmt);
	for (int i = 1; *fmt != '\0'; fmt++, i++) {
		int error = SQLITE_OK;

		if (*fmt == 'i') {
			error = sqlite3_bind_int64(
				stmt, i, va_arg(args, int64_t));
		} else {
			struct str s = va_arg(args, struct str);

			must(*fmt == 't' || *fmt == 'b');
			if (!str_present(s))
				error = sqlite3_bind_null(stmt, i);
			else if (*fmt == 't')
				error = sqlite3_bind_text64(stmt, i, s.ptr,
					s.len, SQLITE_STATIC, SQLITE_UTF8);
			else
				error = sqlite3_bind_blob64(
					stmt, i, s.ptr, s.len, SQLITE_STATIC);
		}
		must(error == SQLITE_OK);
	}
	return stmt;
}

sqlite3_stmt *db_query(
	struct db *db, struct fault *f, const char *sql, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	sqlite3_stmt *stmt = bind(db, f, sql, fmt, args);
	va_end(args);
	return stmt;
}

int db_step(struct db *db, sqlite3_stmt *stmt, struct fault *f)
{
	int r = stmt != NULL ? sqlite3_step(stmt) : SQLITE_MISUSE;

	if (r == SQLITE_ROW)
		return 1;
	if (r != SQLITE_DONE && stmt != NULL)
		db_fault(db, f, "step");
	sqlite3_reset(stmt);
	return r == SQLITE_DONE ? 0 : -1;
}

bool db_damaged(const struct db *db)
{
	int code = sqlite3_errcode(db->handle) & 0xff;

	return code == SQLITE_CORRUPT || code == SQLITE_NOTADB ||
	       code == SQLITE_IOERR;
}

void db_reset(sqlite3_stmt *stmt)
{
	sqlite3_reset(stmt);
}

bool db_run(
	struct db *db, struct fault *f, const char *sql, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	sqlite3_stmt *stmt = bind(db, f, sql, fmt, args);
	va_end(args);
	return stmt != NULL && db_step(db, stmt, f) >= 0;
}

bool db_number(struct db *db, struct fault *f, int64_t *value_r,
	const char *sql, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	sqlite3_stmt *stmt = bind(db, f, sql, fmt, args);
	va_end(args);
	int r = stmt != NULL ? db_step(db, stmt, f) : -1;
	if (r > 0) {
		*value_r = sqlite3_column_int64(stmt, 0);
		sqlite3_reset(stmt);
	}
	return r >= 0;
}

int64_t db_changes(struct db *db)
{
	return sqlite3_changes64(db->handle);
}

int64_t db_total_changes(struct db *db)
{
	return sqlite3_total_changes64(db->handle);
}

bool db_in_transaction(struct db *db)
{
	return sqlite3_get_autocommit(db->handle) == 0;
}

int64_t db_last_rowid(struct db *db)
{
	return sqlite3_last_insert_rowid(db->handle);
}

struct str db_text(sqlite3_stmt *stmt, int n)
{
	return db_blob(stmt, n);
}

struct str db_blob(sqlite3_stmt *stmt, int n)
{
	if (sqlite3_column_type(stmt, n) == SQLITE_NULL)
		return STR_NONE;
	const void *p = sqlite3_column_blob(stmt, n);
	return str_of(
		p != NULL ? p : "", (size_t)sqlite3_column_bytes(stmt, n));
}

int64_t db_int(sqlite3_stmt *stmt, int n)
{
	return sqlite3_column_int64(stmt, n);
}

static bool db_step_up(struct db *db, int to, const char *step, struct fault *f)
{
	char pragma[64];

	snprintf(pragma, sizeof(pragma), "PRAGMA user_version=%d", to);
	if (db_exec(db, "BEGIN IMMEDIATE", f) && db_exec(db, step, f) &&
		db_exec(db, pragma, f) && db_exec(db, "COMMIT", f))
		return true;
	sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
	return false;
}

bool db_schema(struct db *db, const char *const *steps, int n, struct fault *f)
{
	int64_t have = 0;

	if (!db_number(db, f, &have, "PRAGMA user_version", ""))
		return false;
	if (have > n)
		return fault_set(f, FAULT_TEMP, 451, 3, 0,
			"storage: written by a newer postern (version %lld, "
			"this one knows %d)",
			(long long)have, n);
	for (int i = (int)have; i < n; i++)
		if (!db_step_up(db, i + 1, steps[i], f))
			return false;
	return true;
}

/* ---- parts ---- */

static int open_row(struct db *db, struct db_parts *p, int64_t row)
{
	return p->open == NULL ? sqlite3_blob_open(db->handle, "main", p->table,
					 p->column, row, 0, &p->open)
			       : sqlite3_blob_reopen(p->open, row);
}

void db_parts_end(struct db_parts *p)
{
	sqlite3_blob_close(p->open); /* NULL is fine */
	p->open = NULL;
}

bool db_part(struct db *db, struct db_parts *p, int64_t row, size_t from,
	size_t n, char *to, struct fault *f)
{
	if (open_row(db, p, row) == SQLITE_OK &&
		sqlite3_blob_read(p->open, to, (int)n, (int)from) == SQLITE_OK)
		return true;
	db_fault(db, f, "a part of a value");
	/* It is of no use for another row then. */
	db_parts_end(p);
	return false;
}

/* ---- readers ---- */

enum { READERS_KEPT = 16 };

struct readers {
	pthread_mutex_t lock;
	char *path;
	struct db *free[READERS_KEPT];
	size_t n;
};

struct readers *readers_new(const char *path)
{
	struct readers *r = must_alloc(sizeof(*r));

	pthread_mutex_init(&r->lock, NULL);
	r->path = must_strdup(path);
	return r;
}

void readers_free(struct readers *r)
{
	if (r == NULL)
		return;
	for (size_t i = 0; i < r->n; i++)
		db_close(r->free[i]);
	pthread_mutex_destroy(&r->lock);
	free(r->path);
	free(r);
}

struct db *readers_get(struct readers *r, struct fault *f)
{
	struct db *db = NULL;

	pthread_mutex_lock(&r->lock);
	if (r->n > 0)
		db = r->free[--r->n];
	pthread_mutex_unlock(&r->lock);
	return db != NULL ? db : db_open(r->path, DB_READ, f);
}

void readers_put(struct readers *r, struct db *db)
{
	pthread_mutex_lock(&r->lock);
	bool keep = r->n < READERS_KEPT;
	if (keep)
		r->free[r->n++] = db;
	pthread_mutex_unlock(&r->lock);
	if (!keep)
		db_close(db);
}
