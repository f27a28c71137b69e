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
#include "queue/sqlite_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/must.h"
#include "sys/clock.h"
#include "sys/file.h"

enum { ROW_MAX = 64 * 1024 };

static const char schema_1[] =
	"CREATE TABLE messages(id INTEGER PRIMARY KEY, hold INT NOT NULL,"
	" envelope BLOB NOT NULL, body BLOB);"
	"CREATE TABLE recipients(id INT, n INT, status INT NOT NULL,"
	" due INT NOT NULL, attempts INT NOT NULL, reason TEXT,"
	" PRIMARY KEY(id, n)) WITHOUT ROWID";
/* Who is held or corrupt is found without reading the texts. */
static const char schema_2[] =
	"CREATE INDEX marked ON messages(hold) WHERE hold<>0";
/* What is put is most often taken out again soon: its pages need not be read
 * again then. */
static const char tuning[] = "PRAGMA cache_size=-16384";
static const char *const schema[] = {schema_1, schema_2};

void queue_body_path(const struct queue *q, uint64_t id, char *out, size_t len)
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
			queue_body_path(q, id, path, sizeof(path));
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
	if (db == NULL || !db_exec(db, tuning, f) ||
		!db_schema(db, schema, ARRAY_LEN(schema), f) ||
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

static bool insert_rcpts(
	struct db *db, const struct envelope *env, int64_t due, struct fault *f)
{
	for (uint32_t i = 0; i < env->n_rcpts; i++)
		if (!db_run(db, f,
			    "INSERT INTO recipients(id, n, status, due,"
			    " attempts) VALUES(?,?,0,?,0)",
			    "iii", (int64_t)env->id, (int64_t)i, due))
			return false;
	return true;
}

static bool insert(struct db *db, const struct envelope *env, struct str body,
	struct fault *f)
{
	struct buf b CLEANUP(buf_fini);
	bool hold = (env->flags & ENV_HOLD) != 0;

	buf_init(&b, IPC_PAYLOAD_MAX);
	envelope_put(&b, env);
	return db_run(db, f,
		       "INSERT INTO messages(id, hold, envelope, body)"
		       " VALUES(?,?,?,?)",
		       "iibb", (int64_t)env->id, (int64_t)hold, buf_str(&b),
		       body) &&
	       insert_rcpts(db, env, envelope_release(env), f);
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

	queue_body_path(q, id, path, sizeof(path));
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
	if (committer_run_tidy(q->committer, put_work, &put, f))
		return true;
	if (in_file) {
		queue_body_path(q, env->id, path, sizeof(path));
		unlink(path);
	}
	return false;
}

/* ---- update ---- */

static bool remove_rows(struct db *db, uint64_t id, struct fault *f)
{
	return db_run(db, f, "DELETE FROM messages WHERE id=?", "i",
		       (int64_t)id) &&
	       db_run(db, f, "DELETE FROM recipients WHERE id=?", "i",
		       (int64_t)id);
}

static bool update_work(struct db *db, void *ctx, struct fault *f)
{
	const struct queue_update *u = ctx;
	int64_t id = (int64_t)u->env->id;

	for (uint32_t i = 0; i < u->n && !u->ends; i++)
		if (!db_run(db, f,
			    "UPDATE recipients SET status=?, due=?, attempts=?,"
			    " reason=? WHERE id=? AND n=?",
			    "iiitii", (int64_t)u->v[i].status, u->v[i].due,
			    (int64_t)u->v[i].attempts, u->v[i].reason, id,
			    (int64_t)u->v[i].n))
			return false;
	for (uint32_t i = 0; i < u->n_reports; i++)
		if (!insert(db, &u->reports[i].env, u->reports[i].body, f))
			return false;
	return !u->ends || remove_rows(db, u->env->id, f);
}

static void unlink_body(struct queue *q, uint64_t id)
{
	char path[4096];

	queue_body_path(q, id, path, sizeof(path));
	unlink(path);
}

static void updated(void *ctx, bool ok, const struct fault *f)
{
	struct queue_update *u = ctx;

	if (ok && u->ends && u->env->size > ROW_MAX / 2)
		unlink_body(u->q, u->env->id);
	u->done(u, ok, f);
}

void queue_update(struct queue *q, struct queue_update *u)
{
	u->q = q;
	committer_post(q->committer, POST_TIDY, update_work, u, updated);
}

struct change {
	const uint64_t *ids;
	size_t n;
	const char *sql; /* about one id */
	size_t changed;
};

static bool change_work(struct db *db, void *ctx, struct fault *f)
{
	struct change *c = ctx;

	c->changed = 0;
	for (size_t i = 0; i < c->n; i++) {
		if (!db_run(db, f, c->sql, "i", (int64_t)c->ids[i]))
			return false;
		c->changed += (size_t)db_changes(db);
	}
	return true;
}

bool queue_set_mark(struct queue *q, const uint64_t *ids, size_t n,
	enum queue_mark mark, size_t *changed_r, struct fault *f)
{
	static const char *const sql[] = {
		[QUEUE_GOES] = "UPDATE messages SET hold=0 WHERE id=? AND"
			       " hold=1",
		[QUEUE_HELD] = "UPDATE messages SET hold=1 WHERE id=? AND"
			       " hold=0",
		[QUEUE_GIVEN_UP] = "UPDATE messages SET hold=2 WHERE id=? AND"
				   " hold IN (0, 1)",
		[QUEUE_CORRUPT] = "UPDATE messages SET hold=3 WHERE id=?"};
	struct change c = {ids, n, sql[mark], 0};
	bool ok = committer_run(q->committer, change_work, &c, f);

	*changed_r = ok ? c.changed : 0;
	return ok;
}

static bool delete_work(struct db *db, void *ctx, struct fault *f)
{
	struct change *c = ctx;
	struct change rcpts = {
		c->ids, c->n, "DELETE FROM recipients WHERE id=?", 0};

	return change_work(db, c, f) && change_work(db, &rcpts, f);
}

bool queue_delete(struct queue *q, const uint64_t *ids, size_t n,
	size_t *changed_r, struct fault *f)
{
	struct change c = {ids, n, "DELETE FROM messages WHERE id=?", 0};
	bool ok = committer_run(q->committer, delete_work, &c, f);

	for (size_t i = 0; i < n && ok; i++)
		unlink_body(q, ids[i]);
	*changed_r = ok ? c.changed : 0;
	return ok;
}

struct replacement {
	const struct envelope *v;
	size_t n;
	int64_t now;
};

static bool replace_one(
	struct db *db, const struct envelope *env, int64_t now, struct fault *f)
{
	struct buf b CLEANUP(buf_fini);

	buf_init(&b, IPC_PAYLOAD_MAX);
	envelope_put(&b, env);
	return db_run(db, f,
		       "UPDATE messages SET envelope=?, hold=0 WHERE id=?",
		       "bi", buf_str(&b), (int64_t)env->id) &&
	       (db_changes(db) > 0 || fault_set(f, FAULT_PERM, 550, 5, 4,
					      "no such message")) &&
	       db_run(db, f, "DELETE FROM recipients WHERE id=?", "i",
		       (int64_t)env->id) &&
	       insert_rcpts(db, env, now, f);
}

static bool replace_work(struct db *db, void *ctx, struct fault *f)
{
	const struct replacement *r = ctx;

	for (size_t i = 0; i < r->n; i++)
		if (!replace_one(db, &r->v[i], r->now, f))
			return false;
	return true;
}

bool queue_replace(struct queue *q, const struct envelope *v, size_t n,
	int64_t now, struct fault *f)
{
	struct replacement r = {v, n, now};

	return committer_run(q->committer, replace_work, &r, f);
}
