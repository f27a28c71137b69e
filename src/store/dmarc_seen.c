/* SPDX-License-Identifier: ISC */
#include "store/dmarc_seen.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"
#include "db/db.h"
#include "sys/file.h"

/* row: a dmarc_row in its wire form, which says all but the count. */
static const char schema_1[] =
	"CREATE TABLE seen(period INT, domain TEXT, row BLOB,"
	" record TEXT NOT NULL, n INT NOT NULL,"
	" PRIMARY KEY(period, domain, row)) WITHOUT ROWID";
static const char *const schema[] = {schema_1};

struct dmarc_store {
	struct db *db;
	bool open; /* a transaction is */
};

struct dmarc_store *dmarc_store_open(const char *data_dir, struct fault *f)
{
	struct dmarc_store *s = must_alloc(sizeof(*s));
	char path[4096];

	snprintf(path, sizeof(path), "%s/reports", data_dir);
	if (dir_make(path, 0700, f)) {
		snprintf(path, sizeof(path), "%s/reports/dmarc.db", data_dir);
		s->db = db_open(path, DB_WRITE, f);
	}
	if (s->db != NULL && db_schema(s->db, schema, ARRAY_LEN(schema), f) &&
		db_exec(s->db, "PRAGMA synchronous=OFF", f) &&
		/* 256 MiB: strangers choose how many rows there are. */
		db_exec(s->db, "PRAGMA max_page_count=65536", f))
		return s;
	dmarc_store_close(s);
	return NULL;
}

void dmarc_store_close(struct dmarc_store *s)
{
	if (s == NULL)
		return;
	if (s->db != NULL)
		db_close(s->db);
	free(s);
}

bool dmarc_store_note(struct dmarc_store *s, int64_t period,
	const struct dmarc_seen *seen, struct fault *f)
{
	struct buf row CLEANUP(buf_fini);

	buf_init(&row, 65536);
	dmarc_row_put(&row, &seen->row);
	if (!s->open && !db_exec(s->db, "BEGIN", f))
		return false;
	s->open = true;
	return db_run(s->db, f,
		"INSERT INTO seen(period, domain, row, record, n)"
		" VALUES(?, ?, ?, ?, 1) ON CONFLICT DO UPDATE"
		" SET n = n + 1, record = excluded.record",
		"itbt", period, seen->domain, buf_str(&row), seen->record);
}

bool dmarc_store_commit(struct dmarc_store *s, struct fault *f)
{
	if (!s->open)
		return true;
	s->open = false;
	return db_exec(s->db, "COMMIT", f);
}

bool dmarc_store_due(struct dmarc_store *s, int64_t before, struct arena *a,
	struct dmarc_due *due_r, struct fault *f)
{
	sqlite3_stmt *stmt = db_query(s->db, f,
		"SELECT period, domain, record FROM seen WHERE period < ?"
		" ORDER BY period, domain LIMIT 1",
		"i", before);

	*due_r = (struct dmarc_due){0};
	if (stmt == NULL)
		return false;
	int r = db_step(s->db, stmt, f);
	if (r == 1) {
		due_r->period = db_int(stmt, 0);
		due_r->domain = arena_str(a, db_text(stmt, 1));
		due_r->record = arena_str(a, db_text(stmt, 2));
		db_reset(stmt);
	}
	return r >= 0;
}

bool dmarc_store_rows(struct dmarc_store *s, const struct dmarc_due *due,
	unsigned max, struct arena *a, struct dmarc_report *report,
	struct fault *f)
{
	sqlite3_stmt *stmt = db_query(s->db, f,
		"SELECT row, n FROM seen WHERE period = ? AND domain = ?"
		" ORDER BY n DESC LIMIT ?",
		"iti", due->period, due->domain, (int64_t)max);
	int r = stmt == NULL ? -1 : 1;

	while (r > 0 && (r = db_step(s->db, stmt, f)) == 1) {
		struct wire w = {.rest = arena_str(a, db_blob(stmt, 0))};
		struct dmarc_row row;
		struct dmarc_row *to;

		if (!dmarc_row_read(&w, &row) || !wire_ok(&w))
			continue; /* of another version */
		to = dmarc_report_add(report, a);
		if (to == NULL)
			break;
		*to = row;
		to->count = (uint64_t)db_int(stmt, 1);
	}
	if (r == 1)
		db_reset(stmt);
	return r >= 0;
}

bool dmarc_store_done(
	struct dmarc_store *s, const struct dmarc_due *due, struct fault *f)
{
	return db_run(s->db, f,
		"DELETE FROM seen WHERE period = ? AND domain = ?", "it",
		due->period, due->domain);
}
