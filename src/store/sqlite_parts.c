/* SPDX-License-Identifier: ISC */
/* A COPY that goes in parts is whole or nothing, over a crash too: invariant 12
 * of the SQLite engine.  Each part notes the UIDs it gave, the last one takes
 * the notes away; what notes are there when the store opens are taken back. */
#include "store/sqlite_private.h"
#include "sys/log.h"

bool store_note_part(struct db *db, int64_t account, int64_t mailbox,
	const struct store_given *p, struct fault *f)
{
	return p->first == 0 ||
	       db_run(db, f, "INSERT INTO copying VALUES(?,?,?,?)", "iiii",
		       account, mailbox, (int64_t)p->first, (int64_t)p->last);
}

bool store_forget_part(struct db *db, int64_t account, int64_t mailbox,
	const struct store_given *p, struct fault *f)
{
	return p->first == 0 ||
	       db_run(db, f,
		       "DELETE FROM copying"
		       " WHERE account=? AND mailbox=? AND first=?",
		       "iii", account, mailbox, (int64_t)p->first);
}

struct left_part {
	bool found;
	int64_t account, mailbox;
	struct store_given part;
	uint32_t *uids; /* of those that are still there */
	size_t n, cap;
	struct arena *a;
};

static bool read_left(struct db *db, void *ctx, struct fault *f)
{
	struct left_part *x = ctx;
	sqlite3_stmt *q = db_query(db, f,
		"SELECT account, mailbox, first, last FROM copying LIMIT 1",
		"");
	int r = db_step(db, q, f);

	x->found = r > 0;
	x->n = 0;
	if (r <= 0)
		return r == 0;
	x->account = db_int(q, 0);
	x->mailbox = db_int(q, 1);
	x->part.first = (uint32_t)db_int(q, 2);
	x->part.last = (uint32_t)db_int(q, 3);
	db_reset(q);
	q = db_query(db, f,
		"SELECT uid FROM messages WHERE account=? AND mailbox=?"
		" AND uid BETWEEN ? AND ?",
		"iiii", x->account, x->mailbox, (int64_t)x->part.first,
		(int64_t)x->part.last);
	while ((r = db_step(db, q, f)) > 0) {
		x->uids = arena_grown(
			x->a, x->uids, x->n, &x->cap, sizeof(*x->uids));
		x->uids[x->n++] = (uint32_t)db_int(q, 0);
	}
	return r == 0;
}

static bool forget_left(struct db *db, void *ctx, struct fault *f)
{
	const struct left_part *x = ctx;

	return store_forget_part(db, x->account, x->mailbox, &x->part, f);
}

static bool take_back(
	struct store_shard *shard, struct left_part *x, struct fault *f)
{
	/* One that failed was taken back at once. */
	if (x->n > 0)
		log_info("a copy that a crash cut off is taken back",
			log_n("account", x->account),
			log_n("messages", (int64_t)x->n));
	return store_end_uids(shard, x->account, x->mailbox, x->uids, x->n,
		       false, f) &&
	       committer_run(shard->committer, forget_left, x, f);
}

bool store_take_back_parts(struct store_shard *shard, struct fault *f)
{
	struct left_part x = {.a = arena_new(SIZE_MAX)};
	bool ok;

	do {
		ok = committer_run(shard->committer, read_left, &x, f) &&
		     (!x.found || take_back(shard, &x, f));
	} while (ok && x.found);
	arena_free(x.a);
	return ok;
}
