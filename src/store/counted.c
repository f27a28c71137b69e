/* SPDX-License-Identifier: ISC */
#include "store/counted.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"
#include "db/db.h"
#include "sys/file.h"

static const char schema_1[] =
	"CREATE TABLE seen(period INT, domain TEXT, row BLOB,"
	" record TEXT NOT NULL, n INT NOT NULL,"
	" PRIMARY KEY(period, domain, row)) WITHOUT ROWID";
static const char *const schema[] = {schema_1};

struct counted {
	struct db *db;
	bool open; /* a transaction is */
};

struct counted *counted_open(
	const char *data_dir, const char *name, struct fault *f)
{
	struct counted *c = must_alloc(sizeof(*c));
	char path[4096];

	snprintf(path, sizeof(path), "%s/reports", data_dir);
	if (dir_make(path, 0700, f)) {
		snprintf(
			path, sizeof(path), "%s/reports/%s.db", data_dir, name);
		c->db = db_open(path, DB_LOOSE, f);
	}
	if (c->db != NULL && db_schema(c->db, schema, ARRAY_LEN(schema), f) &&
		db_exec(c->db, "PRAGMA max_page_count=65536", f)) /* 256 MiB */
		return c;
	counted_close(c);
	return NULL;
}

void counted_close(struct counted *c)
{
	if (c == NULL)
		return;
	if (c->db != NULL)
		db_close(c->db);
	free(c);
}

bool counted_note(struct counted *c, int64_t period, struct str domain,
	struct str record, struct str row, struct fault *f)
{
	if (!c->open && !db_exec(c->db, "BEGIN", f))
		return false;
	c->open = true;
	return db_run(c->db, f,
		"INSERT INTO seen(period, domain, row, record, n)"
		" VALUES(?, ?, ?, ?, 1) ON CONFLICT DO UPDATE"
		" SET n = n + 1, record = excluded.record",
		"itbt", period, domain, row, record);
}

bool counted_commit(struct counted *c, struct fault *f)
{
	if (!c->open)
		return true;
	c->open = false;
	return db_exec(c->db, "COMMIT", f);
}

bool counted_find_due(struct counted *c, int64_t before, struct arena *a,
	struct counted_due *due_r, struct fault *f)
{
	sqlite3_stmt *stmt = db_query(c->db, f,
		"SELECT period, domain, record FROM seen WHERE period < ?"
		" AND (period, domain) > (?, ?)"
		" ORDER BY period, domain LIMIT 1",
		"iit", before, due_r->period,
		str_present(due_r->domain) ? due_r->domain : STR(""));

	int r = stmt == NULL ? -1 : db_step(c->db, stmt, f);
	*due_r = (struct counted_due){0};
	if (r == 1) {
		due_r->period = db_int(stmt, 0);
		due_r->domain = arena_str(a, db_text(stmt, 1));
		due_r->record = arena_str(a, db_text(stmt, 2));
		db_reset(stmt);
	}
	return r >= 0;
}

bool counted_rows(struct counted *c, const struct counted_due *due,
	unsigned max, struct arena *a, struct counted_row **rows_r, size_t *n_r,
	struct fault *f)
{
	int64_t n = 0;
	int r;

	*n_r = 0;
	if (!db_number(c->db, f, &n,
		    "SELECT count(*) FROM seen WHERE period = ? AND domain = ?",
		    "it", due->period, due->domain))
		return false;
	if (n > (int64_t)max)
		n = (int64_t)max;
	*rows_r = arena_alloc(a, ((size_t)n + 1) * sizeof(**rows_r));
	sqlite3_stmt *stmt = db_query(c->db, f,
		"SELECT row, n FROM seen WHERE period = ? AND domain = ?"
		" ORDER BY n DESC LIMIT ?",
		"iti", due->period, due->domain, n);
	if (stmt == NULL)
		return false;
	while ((r = db_step(c->db, stmt, f)) == 1 && *n_r < (size_t)n)
		(*rows_r)[(*n_r)++] =
			(struct counted_row){arena_str(a, db_blob(stmt, 0)),
				(uint64_t)db_int(stmt, 1)};
	if (r == 1)
		db_reset(stmt);
	return r >= 0;
}

bool counted_done(
	struct counted *c, const struct counted_due *due, struct fault *f)
{
	return db_run(c->db, f,
		"DELETE FROM seen WHERE period = ? AND domain = ?", "it",
		due->period, due->domain);
}
