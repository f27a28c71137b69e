/* SPDX-License-Identifier: ISC */
/* queue on SQLite: reading, over connections of its own. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "queue/sqlite_private.h"
#include "sys/file.h"

static bool open_body(
	struct queue *q, uint64_t id, struct text *text_r, struct fault *f)
{
	char path[4096];
	struct stat st;

	queue_body_path(q, id, path, sizeof(path));
	int fd CLEANUP(fd_close) = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0)
		return fault_sys(f, "open %s", path);
	*text_r = text_file(fd, (uint64_t)st.st_size);
	fd = -1;
	return true;
}

bool queue_text(
	struct queue *q, uint64_t id, struct text *text_r, struct fault *f)
{
	struct db *db = readers_get(q->readers, f);
	bool ok = false;

	if (db == NULL)
		return false;
	sqlite3_stmt *s = db_query(db, f,
		"SELECT body FROM messages WHERE id=?", "i", (int64_t)id);
	int r = db_step(db, s, f);
	if (r == 0)
		fault_set(f, FAULT_TEMP, 451, 3, 0, "no such message");
	if (r > 0) {
		struct str body = db_blob(s, 0);

		ok = str_present(body) || open_body(q, id, text_r, f);
		if (str_present(body))
			*text_r = text_copy(body);
		db_reset(s);
	}
	readers_put(q->readers, db);
	return ok;
}

/* Where a row is missing, its recipient waits: nobody was told of an end. */
static bool read_states(
	struct db *db, struct arena *a, struct queue_record *r, struct fault *f)
{
	sqlite3_stmt *s = db_query(db, f,
		"SELECT n, status, due, attempts, reason FROM recipients"
		" WHERE id=?",
		"i", (int64_t)r->id);
	int got;

	r->v = arena_alloc(a, (r->env.n_rcpts + 1) * sizeof(*r->v));
	for (uint32_t i = 0; i < r->env.n_rcpts; i++)
		r->v[i].n = i;
	while ((got = db_step(db, s, f)) > 0) {
		uint64_t n = (uint64_t)db_int(s, 0);

		if (n < r->env.n_rcpts)
			r->v[n] = (struct rcpt_state){(uint32_t)n,
				db_int(s, 1) == RCPT_DONE ? RCPT_DONE
							  : RCPT_WAITING,
				db_int(s, 2), (uint32_t)db_int(s, 3),
				arena_str(a, db_text(s, 4))};
	}
	return got == 0;
}

/* The row that the statement stands on: id, hold, envelope */
static void read_row(sqlite3_stmt *s, struct arena *a, struct queue_record *r)
{
	struct wire w = {.rest = arena_str(a, db_blob(s, 2))};

	*r = (struct queue_record){.id = (uint64_t)db_int(s, 0),
		.mark = (enum queue_mark)db_int(s, 1)};
	if (!envelope_read(&w, a, &r->env) || !wire_ok(&w) ||
		r->env.id != r->id || r->env.n_rcpts == 0) {
		r->env = (struct envelope){.id = r->id};
		r->mark = QUEUE_CORRUPT;
	}
}

enum queue_found queue_get(struct queue *q, uint64_t id, struct arena *a,
	struct queue_record *r_r, struct fault *f)
{
	struct db *db = readers_get(q->readers, f);

	if (db == NULL)
		return QUEUE_FAULT;
	sqlite3_stmt *s = db_query(db, f,
		"SELECT id, hold, envelope FROM messages WHERE id=?", "i",
		(int64_t)id);
	int got = db_step(db, s, f);
	if (got > 0) {
		read_row(s, a, r_r);
		db_reset(s);
		if (!read_states(db, a, r_r, f))
			got = -1;
	}
	readers_put(q->readers, db);
	return got > 0 ? QUEUE_FOUND : got == 0 ? QUEUE_NONE : QUEUE_FAULT;
}

bool queue_page(struct queue *q, uint64_t after, size_t max, struct arena *a,
	struct queue_record **v_r, size_t *n_r, struct fault *f)
{
	struct queue_record *v = arena_alloc(a, max * sizeof(*v));
	struct db *db = readers_get(q->readers, f);
	size_t n = 0;
	int got = 1;

	if (db == NULL)
		return false;
	sqlite3_stmt *s = db_query(db, f,
		"SELECT id, hold, envelope FROM messages WHERE id>?"
		" ORDER BY id LIMIT ?",
		"ii", (int64_t)after, (int64_t)max);
	while (n < max && (got = db_step(db, s, f)) > 0)
		read_row(s, a, &v[n++]);
	if (got > 0)
		db_reset(s);
	for (size_t i = 0; i < n && got >= 0; i++)
		if (!read_states(db, a, &v[i], f))
			got = -1;
	readers_put(q->readers, db);
	*v_r = v;
	*n_r = n;
	return got >= 0;
}

bool queue_dues(struct queue *q, queue_due_f *fn, void *ctx, struct fault *f)
{
	struct db *db = readers_get(q->readers, f);
	int got;

	if (db == NULL)
		return false;
	sqlite3_stmt *s = db_query(db, f,
		"SELECT id, coalesce(min(CASE status WHEN 0 THEN due END), 0)"
		" FROM recipients WHERE id NOT IN"
		" (SELECT id FROM messages WHERE hold<>0 AND hold<>2)"
		" GROUP BY id",
		"");
	while ((got = db_step(db, s, f)) > 0)
		fn((uint64_t)db_int(s, 0), db_int(s, 1), ctx);
	readers_put(q->readers, db);
	return got == 0;
}
