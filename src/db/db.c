/* SPDX-License-Identifier: ISC */
#include "db/db.h"

#include <pthread.h>
#include <semaphore.h>
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

/* ---- group commit ---- */

/*
 * There is no writer thread: who comes while nobody writes leads, and commits
 * for all that wait by then.  Before it returns it hands the lead on to the
 * first of those that came in the meantime, and wakes each of its own batch
 * alone: nobody wakes for the work of others.
 */

struct work {
	db_work_f *fn;
	void *ctx;
	struct fault *fault;
	bool ok;
	bool leads; /* turn has come to lead; else it is done */
	sem_t turn;
	db_done_f *done; /* nobody waits: told by this; the work is our own */
	struct fault own_fault;
	struct work *next;
};

struct committer {
	struct db *db;
	pthread_mutex_t lock;
	struct work *first; /* who waits for the next batch */
	struct work **last;
	bool busy; /* somebody leads */
	bool posted; /* the keeper runs: somebody posts */
	bool ending;
	pthread_t keeper;
	sem_t only_posted; /* waits, and the keeper is to lead */
};

static void run_one(struct db *db, struct work *w)
{
	struct fault ignored;

	w->ok = db_run(db, w->fault, "SAVEPOINT work", "") &&
		w->fn(db, w->ctx, w->fault);
	if (!w->ok)
		db_run(db, &ignored, "ROLLBACK TO work", "");
	if (!db_run(db, w->ok ? w->fault : &ignored, "RELEASE work", ""))
		w->ok = false;
}

static void run_batch(struct db *db, struct work *batch)
{
	struct fault f;
	bool begun = db_run(db, &f, "BEGIN IMMEDIATE", "");

	for (struct work *w = batch; w != NULL && begun; w = w->next)
		run_one(db, w);
	bool ok = begun && db_run(db, &f, "COMMIT", "");
	if (begun && !ok)
		sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
	for (struct work *w = batch; w != NULL && !ok; w = w->next) {
		if (w->ok || !begun)
			*w->fault = f;
		w->ok = false;
	}
}

struct committer *committer_new(struct db *db)
{
	struct committer *c = must_alloc(sizeof(*c));

	c->db = db;
	c->last = &c->first;
	sem_init(&c->only_posted, 0, 0);
	pthread_mutex_init(&c->lock, NULL);
	return c;
}

void committer_free(struct committer *c)
{
	if (c == NULL)
		return;
	must(!c->busy);
	c->ending = true;
	if (c->posted && sem_post(&c->only_posted) == 0)
		pthread_join(c->keeper, NULL);
	db_close(c->db);
	sem_destroy(&c->only_posted);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static struct work *take_batch(struct committer *c)
{
	pthread_mutex_lock(&c->lock);
	struct work *batch = c->first;
	c->first = NULL;
	c->last = &c->first;
	pthread_mutex_unlock(&c->lock);
	return batch;
}

/* To the first that waits; to the keeper where only work waits of which nobody
 * does. */
static void hand_lead_on(struct committer *c)
{
	pthread_mutex_lock(&c->lock);
	struct work *next = c->first;
	c->busy = next != NULL;
	while (next != NULL && next->done != NULL)
		next = next->next;
	if (next != NULL) {
		next->leads = true;
		sem_post(&next->turn);
	} else if (c->busy) {
		sem_post(&c->only_posted);
	}
	pthread_mutex_unlock(&c->lock);
}

static void tell(struct work *batch, const struct work *own)
{
	struct work *told = NULL;

	/* Who waits first: the others take their time. */
	for (struct work *w = batch, *next; w != NULL; w = next) {
		next = w->next; /* w ends with its turn */
		if (w->done != NULL) {
			w->next = told;
			told = w;
		} else if (w != own) {
			sem_post(&w->turn);
		}
	}
	for (struct work *w = told, *next; w != NULL; w = next) {
		next = w->next;
		w->done(w->ctx, w->ok, w->fault);
		free(w);
	}
}

static void lead(struct committer *c, const struct work *own)
{
	struct work *batch = take_batch(c);

	run_batch(c->db, batch);
	hand_lead_on(c);
	tell(batch, own);
}

static void *keep(void *arg)
{
	struct committer *c = arg;

	for (;;) {
		if (sem_wait(&c->only_posted) != 0)
			continue; /* a signal */
		if (c->ending)
			return NULL;
		lead(c, NULL);
	}
}

/* True: the caller leads. */
static bool line_up(struct committer *c, struct work *w)
{
	pthread_mutex_lock(&c->lock);
	*c->last = w;
	c->last = &w->next;
	bool first = !c->busy;
	c->busy = true;
	if (w->done != NULL && !c->posted)
		c->posted = pthread_create(&c->keeper, NULL, keep, c) == 0;
	must(w->done == NULL || c->posted);
	pthread_mutex_unlock(&c->lock);
	return first;
}

bool committer_run(
	struct committer *c, db_work_f *work, void *ctx, struct fault *f)
{
	struct work w = {.fn = work, .ctx = ctx, .fault = f};

	sem_init(&w.turn, 0, 0);
	bool first = line_up(c, &w);
	while (!first && sem_wait(&w.turn) != 0)
		continue; /* a signal */
	if (first || w.leads)
		lead(c, &w);
	sem_destroy(&w.turn);
	return w.ok;
}

static bool line_up_posted(
	struct committer *c, db_work_f *work, void *ctx, db_done_f *done)
{
	struct work *w = must_alloc(sizeof(*w));

	w->fn = work;
	w->ctx = ctx;
	w->done = done;
	w->fault = &w->own_fault;
	return line_up(c, w);
}

void committer_post(
	struct committer *c, db_work_f *work, void *ctx, db_done_f *done)
{
	if (line_up_posted(c, work, ctx, done))
		lead(c, NULL);
}

void committer_post_later(
	struct committer *c, db_work_f *work, void *ctx, db_done_f *done)
{
	if (line_up_posted(c, work, ctx, done))
		sem_post(&c->only_posted);
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
