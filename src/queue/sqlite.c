/* SPDX-License-Identifier: ISC */
/*
 * queue on SQLite.
 *
 * Invariants
 * 1. A row in messages exists only with its body: in the row up to ROW_MAX
 *    bytes, else in a file named by the id, linked and synced before the row
 *    commits.
 * 2. A body file without a row is garbage and swept at open.
 * 3. recipients has exactly one row per recipient of the envelope.
 * 4. Nothing is acknowledged before the transaction is on disk (db/db.h 3).
 *
 * Bodies up to 1 MiB in append-only segments, as the plan has it, wait until
 * the measurements of the queue's own issue ask for them.
 */
#include "queue/queue.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/must.h"
#include "db/db.h"
#include "sys/clock.h"
#include "sys/file.h"

enum { ROW_MAX = 64 * 1024 };

static const char schema_1[] =
	"CREATE TABLE messages(id INTEGER PRIMARY KEY, hold INT NOT NULL,"
	" envelope BLOB NOT NULL, body BLOB);"
	"CREATE TABLE recipients(id INT, n INT, status INT NOT NULL,"
	" due INT NOT NULL, attempts INT NOT NULL, reason TEXT,"
	" PRIMARY KEY(id, n)) WITHOUT ROWID";
static const char *const schema[] = {schema_1};

struct queue {
	char *dir;
	struct committer *committer;
	struct readers *readers;
};

static void body_path(const struct queue *q, uint64_t id, char *out, size_t len)
{
	char text[ID_TEXT];

	id_text(id, text);
	snprintf(out, len, "%s/body/%s", q->dir, text);
}

static bool has_row(struct db *db, uint64_t id, bool *has_r, struct fault *f)
{
	int64_t n = 0;

	if (!db_number(db, f, &n, "SELECT count(*) FROM messages WHERE id=?",
		    "i", (int64_t)id))
		return false;
	*has_r = n > 0;
	return true;
}

/* Invariant 2 */
static bool sweep(struct queue *q, struct db *db, struct fault *f)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/body", q->dir);
	DIR *d = opendir(path);
	if (d == NULL)
		return fault_sys(f, "open %s", path);
	bool ok = true;
	for (struct dirent *e; ok && (e = readdir(d)) != NULL;) {
		uint64_t id;
		bool has = true;

		if (!id_parse(str_from(e->d_name), &id))
			continue;
		ok = has_row(db, id, &has, f);
		if (ok && !has) {
			body_path(q, id, path, sizeof(path));
			unlink(path);
		}
	}
	closedir(d);
	return ok;
}

struct queue *queue_open(const char *dir, struct fault *f)
{
	struct queue *q = must_alloc(sizeof(*q));
	char path[4096];

	q->dir = must_strdup(dir);
	snprintf(path, sizeof(path), "%s/body", dir);
	struct db *db = NULL;
	if (dir_make(path, 0700, f)) {
		snprintf(path, sizeof(path), "%s/queue.db", dir);
		db = db_open(path, DB_WRITE, f);
	}
	if (db == NULL || !db_schema(db, schema, ARRAY_LEN(schema), f) ||
		!sweep(q, db, f)) {
		db_close(db);
		free(q->dir);
		free(q);
		return NULL;
	}
	q->committer = committer_new(db);
	q->readers = readers_new(path);
	return q;
}

void queue_close(struct queue *q)
{
	if (q == NULL)
		return;
	readers_free(q->readers);
	committer_free(q->committer);
	free(q->dir);
	free(q);
}

/* ---- put ---- */

static bool insert(struct db *db, const struct envelope *env, struct str body,
	struct fault *f)
{
	struct buf b CLEANUP(buf_fini);
	bool hold = (env->flags & ENV_HOLD) != 0;

	buf_init(&b, IPC_PAYLOAD_MAX);
	envelope_put(&b, env);
	if (!db_run(db, f,
		    "INSERT INTO messages(id, hold, envelope, body)"
		    " VALUES(?,?,?,?)",
		    "iibb", (int64_t)env->id, (int64_t)hold, buf_str(&b), body))
		return false;
	for (uint32_t i = 0; i < env->n_rcpts; i++)
		if (!db_run(db, f,
			    "INSERT INTO recipients(id, n, status, due,"
			    " attempts) VALUES(?,?,0,?,0)",
			    "iii", (int64_t)env->id, (int64_t)i,
			    envelope_release(env)))
			return false;
	return true;
}

struct put {
	const struct envelope *env;
	struct str body; /* absent: in a file */
};

static bool put_work(struct db *db, void *ctx, struct fault *f)
{
	struct put *p = ctx;

	return insert(db, p->env, p->body, f);
}

/* A body file: the nameless file itself where it can be linked, else a copy */
static bool link_body(struct queue *q, uint64_t id, const struct text *text,
	struct str bytes, struct fault *f)
{
	char path[4096], dir[4096];
	struct fault ignored;

	body_path(q, id, path, sizeof(path));
	if (text->fd >= 0 && file_link_fd(text->fd, path, &ignored))
		return file_sync(text->fd, f) && dir_sync_of(path, f);
	snprintf(dir, sizeof(dir), "%s/body", q->dir);
	int fd CLEANUP(fd_close) = file_tmp(dir, f);
	return fd >= 0 && file_write(fd, bytes, f) &&
	       file_link_fd(fd, path, f) && file_sync(fd, f) &&
	       dir_sync_of(path, f);
}

bool queue_put(struct queue *q, const struct envelope *env,
	const struct text *text, struct fault *f)
{
	struct file_map map CLEANUP(file_unmap) = {0};
	struct put put = {.env = env};
	char path[4096];

	if (!text_map(text, &map, f))
		return false;
	bool in_file = map.bytes.len > ROW_MAX;
	if (in_file && !link_body(q, env->id, text, map.bytes, f))
		return false;
	put.body = in_file ? STR_NONE : map.bytes;
	if (committer_run(q->committer, put_work, &put, f))
		return true;
	if (in_file) {
		body_path(q, env->id, path, sizeof(path));
		unlink(path);
	}
	return false;
}

/* ---- update ---- */

struct update {
	uint64_t id;
	const struct rcpt_state *v;
	uint32_t n;
	const struct queue_report *reports;
	uint32_t n_reports;
	bool remove;
};

static bool remove_rows(struct db *db, uint64_t id, struct fault *f)
{
	return db_run(db, f, "DELETE FROM messages WHERE id=?", "i",
		       (int64_t)id) &&
	       db_run(db, f, "DELETE FROM recipients WHERE id=?", "i",
		       (int64_t)id);
}

static bool update_work(struct db *db, void *ctx, struct fault *f)
{
	const struct update *u = ctx;

	for (uint32_t i = 0; i < u->n && !u->remove; i++)
		if (!db_run(db, f,
			    "UPDATE recipients SET status=?, due=?, attempts=?,"
			    " reason=? WHERE id=? AND n=?",
			    "iiitii", (int64_t)u->v[i].status, u->v[i].due,
			    (int64_t)u->v[i].attempts, u->v[i].reason,
			    (int64_t)u->id, (int64_t)u->v[i].n))
			return false;
	for (uint32_t i = 0; i < u->n_reports; i++)
		if (!insert(db, &u->reports[i].env, u->reports[i].body, f))
			return false;
	return !u->remove || remove_rows(db, u->id, f);
}

static void unlink_body(struct queue *q, uint64_t id)
{
	char path[4096];

	body_path(q, id, path, sizeof(path));
	unlink(path);
}

bool queue_update(struct queue *q, uint64_t id, const struct rcpt_state *v,
	uint32_t n, const struct queue_report *reports, uint32_t n_reports,
	bool remove, struct fault *f)
{
	struct update u = {id, v, n, reports, n_reports, remove};

	if (!committer_run(q->committer, update_work, &u, f))
		return false;
	if (remove)
		unlink_body(q, id);
	return true;
}

struct mark {
	uint64_t id;
	bool hold;
};

static bool hold_work(struct db *db, void *ctx, struct fault *f)
{
	const struct mark *m = ctx;

	return db_run(db, f, "UPDATE messages SET hold=? WHERE id=?", "ii",
		(int64_t)m->hold, (int64_t)m->id);
}

bool queue_hold(struct queue *q, uint64_t id, bool hold, struct fault *f)
{
	struct mark m = {id, hold};

	return committer_run(q->committer, hold_work, &m, f);
}

bool queue_delete(struct queue *q, uint64_t id, struct fault *f)
{
	return queue_update(q, id, NULL, 0, NULL, 0, true, f);
}

/* ---- read ---- */

static bool open_body(
	struct queue *q, uint64_t id, struct text *text_r, struct fault *f)
{
	char path[4096];
	struct stat st;

	body_path(q, id, path, sizeof(path));
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

enum { RCPTS_MAX = 100000 };

static uint32_t read_states(struct db *db, int64_t id, struct arena *a,
	uint32_t expected, struct rcpt_state **v_r, struct fault *f)
{
	struct rcpt_state *v = arena_alloc(a, (expected + 1) * sizeof(*v));
	sqlite3_stmt *s = db_query(db, f,
		"SELECT n, status, due, attempts, reason FROM recipients"
		" WHERE id=? ORDER BY n",
		"i", id);
	uint32_t n = 0;

	while (db_step(db, s, f) > 0) {
		if (n == expected)
			continue;
		v[n++] = (struct rcpt_state){(uint32_t)db_int(s, 0),
			db_int(s, 1) == RCPT_DONE ? RCPT_DONE : RCPT_WAITING,
			db_int(s, 2), (uint32_t)db_int(s, 3),
			arena_str(a, db_text(s, 4))};
	}
	*v_r = v;
	return n;
}

bool queue_each(struct queue *q, queue_each_f *fn, void *ctx, struct fault *f)
{
	struct db *db = readers_get(q->readers, f);
	struct arena *a = arena_new(SIZE_MAX);
	int r;

	if (db == NULL) {
		arena_free(a);
		return false;
	}
	sqlite3_stmt *s = db_query(db, f,
		"SELECT id, hold, envelope FROM messages ORDER BY id", "");
	while ((r = db_step(db, s, f)) > 0) {
		struct wire w = {.rest = db_blob(s, 2)};
		struct envelope env;
		struct rcpt_state *v = NULL;
		int64_t id = db_int(s, 0);

		if (envelope_read(&w, a, &env) && wire_ok(&w) &&
			env.n_rcpts <= RCPTS_MAX) {
			uint32_t n = read_states(db, id, a, env.n_rcpts, &v, f);
			fn((uint64_t)id, &env, db_int(s, 1) != 0, v, n, ctx);
		} else {
			fn((uint64_t)id, NULL, true, NULL, 0, ctx);
		}
		arena_reset(a);
	}
	arena_free(a);
	readers_put(q->readers, db);
	return r == 0;
}
