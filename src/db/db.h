/* SPDX-License-Identifier: ISC */
#ifndef DB_DB_H
#define DB_DB_H

/*
 * db: one SQLite file with our rules (WAL, synchronous=FULL), and group
 * commit on top.
 *
 * Invariants
 * 1. A db is used by one thread at a time.
 * 2. A committer owns its db; all writing to the file goes through it, by the
 *    thread that leads: the first that came while nobody did.
 * 3. committer_run returns true only after the transaction that holds its
 *    work is on disk; one flush serves everybody who waited.
 * 4. Work that fails is rolled back alone; its neighbours commit.  Tidy work,
 *    which fails before its first change and may be run again, has no savepoint
 *    for that.  Where it fails behind a change, by the disk or a damaged page,
 *    the batch is run again with one for each; what was run and is not tidy
 *    fails then.
 * 5. Who is told that its work is done may post more.
 */

#include <sqlite3.h>

#include "base/arena.h"
#include "base/fault.h"

struct db;

enum db_mode {
	DB_WRITE,
	DB_READ,
	DB_LOOSE, /* written, and not flushed: its loss is no harm */
};

/* Once, before SQLite is used for anything: it keeps no count of its memory
 * then, under one lock for all shards. */
void db_configure(void);

/* Opens or makes the file; NULL with a fault. */
struct db *db_open(const char *path, enum db_mode mode, struct fault *f);
void db_close(struct db *db);

/* Runs statements without results. */
bool db_exec(struct db *db, const char *sql, struct fault *f);

/*
 * A prepared statement from the db's cache, reset and bound.  fmt: one letter
 * per parameter: i int64_t, t struct str as text, b struct str as blob (absent
 * binds NULL).  Strings must live until the statement was stepped.
 */
sqlite3_stmt *db_query(
	struct db *db, struct fault *f, const char *sql, const char *fmt, ...);
/* Next row: 1, no more: 0, error: -1 with the fault; resets at 0 and -1. */
int db_step(struct db *db, sqlite3_stmt *stmt, struct fault *f);
/* A statement without rows, bound as above. */
bool db_run(
	struct db *db, struct fault *f, const char *sql, const char *fmt, ...);
/* One number; 0 rows leave *value_r as it is. */
bool db_number(struct db *db, struct fault *f, int64_t *value_r,
	const char *sql, const char *fmt, ...);
void db_reset(sqlite3_stmt *stmt);
/* Was it the file that failed the last time: a page that does not read, or that
 * is none? */
bool db_damaged(const struct db *db);
int64_t db_changes(struct db *db);
/* Rows that were changed since the db was opened. */
int64_t db_total_changes(struct db *db);
/* An error of the disk may have ended the transaction. */
bool db_in_transaction(struct db *db);
int64_t db_last_rowid(struct db *db);

/* Column n as a view, good until the next step. */
struct str db_text(sqlite3_stmt *stmt, int n);
struct str db_blob(sqlite3_stmt *stmt, int n);
int64_t db_int(sqlite3_stmt *stmt, int n);

/* Octets from to from + n of a column of the row with that number, while a
 * statement of the db steps: of a large value nobody reads all.  The caller's,
 * with table and column; ended before the db is given back. */
struct db_parts {
	const char *table, *column;
	sqlite3_blob *open;
};
bool db_part(struct db *db, struct db_parts *p, int64_t row, size_t from,
	size_t n, char *to, struct fault *f);
void db_parts_end(struct db_parts *p);

/*
 * Brings the schema to version n (PRAGMA user_version): steps[i] is what
 * leads from version i to i + 1, each in a transaction of its own.  Newer
 * than ours is refused, untouched.
 */
bool db_schema(struct db *db, const char *const *steps, int n, struct fault *f);

/* ---- group commit ---- */

struct committer;

/* Work inside of the transaction, in the thread of whoever leads. */
typedef bool db_work_f(struct db *db, void *ctx, struct fault *f);

struct committer *committer_new(struct db *db); /* takes the db over */
void committer_free(struct committer *c); /* after everybody is gone */
/* Blocks until the work is on disk, or has failed.  Any thread. */
bool committer_run(
	struct committer *c, db_work_f *work, void *ctx, struct fault *f);

/* The same of tidy work: invariant 4. */
bool committer_run_tidy(
	struct committer *c, db_work_f *work, void *ctx, struct fault *f);

/* The same for who does not wait: done is called when the work is on disk, or
 * has failed, by the caller or another thread that commits; it holds nothing of
 * the committer then, and may block, but not for other work of the committer.
 * Starts a thread of the committer's own at the first call: it leads where only
 * such work waits. */
enum committer_how {
	POST_TIDY = 1, /* the work is tidy */
	POST_LATER = 2, /* the caller does not lead: for who is in no hurry, and
			   for done, which would call itself without end */
};
typedef void db_done_f(void *ctx, bool ok, const struct fault *f);
void committer_post(struct committer *c, unsigned how, db_work_f *work,
	void *ctx, db_done_f *done);

/* ---- readers ---- */

/* Connections for reading, made on demand, kept; any thread. */
struct readers;
struct readers *readers_new(const char *path);
void readers_free(struct readers *r);
struct db *readers_get(struct readers *r, struct fault *f); /* NULL: fault */
void readers_put(struct readers *r, struct db *db);

#endif
