/* SPDX-License-Identifier: ISC */
/* The messages of mailboxes that were deleted, of the SQLite engine: invariant
 * 11.  One part after the other, each a transaction that shares its flush with
 * the work of others; what a crash leaves is taken up when the store opens. */
#include <stdlib.h>

#include "base/must.h"
#include "store/sqlite_private.h"
#include "sys/log.h"

enum { MESSAGES_AT_ONCE = 200, VANISHED_AT_ONCE = 2000 };

struct sweep {
	struct store_shard *shard;
	bool more;
	struct strs gone;
	struct arena *a;
};

/* 1: a message went, 0: there was none */
static int end_first(struct db *db, const struct store_end *x, struct fault *f)
{
	struct store_record m;
	int64_t uid = 0;

	if (!db_number(db, f, &uid,
		    "SELECT min(uid) FROM messages"
		    " WHERE account=? AND mailbox=?",
		    "ii", x->account, x->mailbox))
		return -1;
	if (uid == 0)
		return 0;
	if (store_record(db, x->account, x->mailbox, uid, &m, f) <= 0)
		return -1;
	bool ok = store_end_record(db, x, uid, &m, f);
	db_reset(m.q);
	return ok && db_run(db, f,
			     "DELETE FROM messages"
			     " WHERE account=? AND mailbox=? AND uid=?",
			     "iii", x->account, x->mailbox, uid)
		       ? 1
		       : -1;
}

static bool forget_vanished(
	struct db *db, const struct store_end *x, bool *all_r, struct fault *f)
{
	bool ok = db_run(db, f,
		"DELETE FROM vanished WHERE (account, mailbox, modseq, uid) IN"
		" (SELECT account, mailbox, modseq, uid FROM vanished"
		" WHERE account=? AND mailbox=? LIMIT ?)",
		"iii", x->account, x->mailbox, (int64_t)VANISHED_AT_ONCE);

	*all_r = db_changes(db) < VANISHED_AT_ONCE;
	return ok;
}

static bool sweep_mailbox(
	struct db *db, const struct store_end *x, struct fault *f)
{
	bool all;
	int r = 1;

	for (size_t i = 0; r > 0 && i < MESSAGES_AT_ONCE; i++)
		r = end_first(db, x, f);
	if (r != 0)
		return r > 0;
	return forget_vanished(db, x, &all, f) &&
	       (!all || db_run(db, f,
				"DELETE FROM deleted_mailboxes"
				" WHERE account=? AND mailbox=?",
				"ii", x->account, x->mailbox));
}

static bool sweep_work(struct db *db, void *ctx, struct fault *f)
{
	struct sweep *s = ctx;
	struct store_end x = {
		.shard = s->shard, .keep = true, .a = s->a, .gone = &s->gone};
	sqlite3_stmt *q = db_query(db, f,
		"SELECT account, mailbox FROM deleted_mailboxes LIMIT 1", "");
	int r = db_step(db, q, f);

	s->gone = (struct strs){0};
	s->more = r > 0;
	if (r <= 0)
		return r == 0;
	x.account = db_int(q, 0);
	x.mailbox = db_int(q, 1);
	db_reset(q);
	return sweep_mailbox(db, &x, f);
}

/* Another part, or the end of it. */
static void sweep_done(void *ctx, bool ok, const struct fault *f)
{
	struct sweep *s = ctx;
	struct store_shard *shard = s->shard;

	if (ok)
		store_unlink(&s->gone);
	else
		log_error("a deleted mailbox cannot be cleared", log_fault(f));
	arena_reset(s->a);
	pthread_mutex_lock(&shard->lock);
	bool again = ok && (s->more || shard->sweep_wanted) && !shard->closing;
	shard->sweep_wanted = false;
	if (!again) {
		arena_free(s->a);
		free(s);
		shard->sweeping = false;
		pthread_cond_signal(&shard->calm);
	}
	pthread_mutex_unlock(&shard->lock);
	if (again)
		committer_post(shard->committer, POST_LATER, sweep_work, s,
			sweep_done);
}

void store_sweep(struct store_shard *shard)
{
	pthread_mutex_lock(&shard->lock);
	bool begin = !shard->sweeping && !shard->closing;
	shard->sweep_wanted = shard->sweeping; /* it may have looked already */
	shard->sweeping = true;
	pthread_mutex_unlock(&shard->lock);
	if (!begin)
		return;
	struct sweep *s = must_alloc(sizeof(*s));
	s->shard = shard;
	s->a = arena_new(SIZE_MAX);
	committer_post(shard->committer, POST_LATER, sweep_work, s, sweep_done);
}
