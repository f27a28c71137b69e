/* SPDX-License-Identifier: ISC */
/* Flags of the SQLite engine, and marks: the first message without \Seen, what
 * clients were told of.
 * The invariants stand at the top of sqlite.c. */
#include "store/rules.h"
#include "store/sqlite_private.h"

enum { FAR = 1000 };

/* ---- flags ---- */

struct flag_run {
	int64_t account, mailbox;
	const uint32_t *uids;
	size_t n;
	struct store_flags *change;
	struct arena *a;
	struct str set; /* of FLAGS_SET */
	struct store_count count;
	struct arena *row_a;
};

/* Invariant 9, when a message below the mark becomes unseen. */
static bool lower_mark(struct db *db, int64_t account, int64_t mailbox,
	uint32_t uid, struct fault *f)
{
	int64_t mark = 0, n = 0;

	if (!db_number(db, f, &mark,
		    "SELECT seen_below FROM mailboxes"
		    " WHERE account=? AND mailbox=?",
		    "ii", account, mailbox))
		return false;
	if ((int64_t)uid >= mark)
		return true;
	return db_number(db, f, &n,
		       "SELECT count(*) FROM messages"
		       " WHERE account=? AND mailbox=? AND uid<?",
		       "iii", account, mailbox, (int64_t)uid) &&
	       db_run(db, f,
		       "UPDATE mailboxes SET seen_below=?, n_below=?"
		       " WHERE account=? AND mailbox=?",
		       "iiii", (int64_t)uid, n, account, mailbox);
}

static int64_t bit(uint32_t flags, uint32_t flag)
{
	return (flags & flag) != 0;
}

static bool flag_one(
	struct db *db, struct flag_run *r, size_t i, struct fault *f)
{
	struct store_flags *c = r->change;
	uint32_t uid = r->uids[i];
	sqlite3_stmt *s = db_query(db, f,
		"SELECT flags, keywords, modseq FROM messages"
		" WHERE account=? AND mailbox=? AND uid=?",
		"iii", r->account, r->mailbox, (int64_t)uid);
	int found = db_step(db, s, f);

	if (found <= 0)
		return found == 0;
	arena_reset(r->row_a);
	uint32_t have = (uint32_t)db_int(s, 0);
	struct str words = db_text(s, 1);
	if (str_present(words))
		words = arena_str(r->row_a, words);
	bool stale = c->conditional && (uint64_t)db_int(s, 2) > c->unchanged;
	db_reset(s);
	if (stale) {
		c->failed[i] = true;
		return true;
	}
	uint32_t now = store_merge_flags(c, have);
	struct str keywords = store_merge_keywords(c, words, r->set, r->row_a);
	if (now == have && str_eq(words, keywords))
		return true;
	if (!store_keywords_fit(keywords, f))
		return false;
	r->count.unseen += bit(have, FLAG_SEEN) - bit(now, FLAG_SEEN);
	r->count.deleted += bit(now, FLAG_DELETED) - bit(have, FLAG_DELETED);
	if ((now & FLAG_SEEN) == 0 && (have & FLAG_SEEN) != 0 &&
		!lower_mark(db, r->account, r->mailbox, uid, f))
		return false;
	if (c->modseq == 0) {
		int64_t modseq = 0;

		if (!store_next_modseq(db, r->account, &modseq, f))
			return false;
		c->modseq = (uint64_t)modseq;
	}
	return db_run(db, f,
		"UPDATE messages SET flags=?, keywords=?, modseq=?"
		" WHERE account=? AND mailbox=? AND uid=?",
		"itiiii", (int64_t)now, keywords, (int64_t)c->modseq,
		r->account, r->mailbox, (int64_t)uid);
}

static bool flags_work(struct db *db, void *ctx, struct fault *f)
{
	struct flag_run *r = ctx;

	r->count = (struct store_count){0};
	r->change->modseq = 0;
	for (size_t i = 0; i < r->n; i++) {
		if (r->change->conditional)
			r->change->failed[i] = false;
		if (!flag_one(db, r, i, f))
			return false;
	}
	return r->change->modseq == 0 ||
	       store_count(db, r->account, r->mailbox,
		       (int64_t)r->change->modseq, &r->count, f);
}

bool store_flags(struct store *s, int64_t account, int64_t mailbox,
	const uint32_t *uids, size_t n, struct store_flags *change,
	struct fault *f)
{
	struct flag_run r = {.account = account,
		.mailbox = mailbox,
		.uids = uids,
		.n = n,
		.change = change};

	if (n == 0)
		return true;
	r.a = arena_new(SIZE_MAX);
	r.row_a = arena_new(SIZE_MAX);
	r.set = store_join(&change->keywords, r.a);
	bool ok = committer_run(
		store_shard_of(s, account)->committer, flags_work, &r, f);
	arena_free(r.row_a);
	arena_free(r.a);
	return ok;
}

/* ---- the first that is unseen ---- */

struct mark {
	int64_t account, mailbox;
	uint64_t modseq; /* what the mailbox had when it was found */
	uint32_t uid;
	uint64_t n_below;
};

static bool mark_work(struct db *db, void *ctx, struct fault *f)
{
	const struct mark *m = ctx;

	return db_run(db, f,
		"UPDATE mailboxes SET seen_below=?, n_below=?"
		" WHERE account=? AND mailbox=? AND modseq=?",
		"iiiii", (int64_t)m->uid, (int64_t)m->n_below, m->account,
		m->mailbox, (int64_t)m->modseq);
}

static bool find_unseen(struct db *db, const struct store_mailbox *box,
	struct mark *m, struct fault *f)
{
	sqlite3_stmt *q = db_query(db, f,
		"SELECT uid, flags FROM messages"
		" WHERE account=? AND mailbox=? AND uid>=? ORDER BY uid",
		"iii", m->account, m->mailbox, (int64_t)box->seen_below);
	int r;

	m->n_below = box->n_below;
	while ((r = db_step(db, q, f)) > 0) {
		if ((db_int(q, 1) & FLAG_SEEN) == 0) {
			m->uid = (uint32_t)db_int(q, 0);
			db_reset(q);
			return true;
		}
		m->n_below++;
	}
	return r == 0;
}

bool store_find_unseen(struct store_shard *shard, int64_t account,
	struct store_mailbox *box, struct fault *f)
{
	struct mark m = {account, box->id, box->modseq, 0, 0};

	if (box->n_unseen == 0)
		return true;
	struct db *db = readers_get(shard->readers, f);
	if (db == NULL)
		return false;
	bool ok = find_unseen(db, box, &m, f);
	readers_put(shard->readers, db);
	if (!ok)
		return false;
	box->first_unseen = m.uid;
	box->before_unseen = m.n_below;
	/* Far enough to be worth a write. */
	return m.uid == 0 || m.n_below < box->n_below + FAR ||
	       shard->committer == NULL ||
	       committer_run(shard->committer, mark_work, &m, f);
}

/* ---- what clients were told of ---- */

struct told {
	int64_t account, mailbox;
	uint32_t below;
};

static bool told_work(struct db *db, void *ctx, struct fault *f)
{
	const struct told *t = ctx;

	return db_run(db, f,
		"UPDATE mailboxes SET told_below=max(told_below, ?)"
		" WHERE account=? AND mailbox=?",
		"iii", (int64_t)t->below, t->account, t->mailbox);
}

bool store_tell(struct store_shard *shard, int64_t account, int64_t mailbox,
	uint32_t below, struct fault *f)
{
	struct told t = {account, mailbox, below};

	return committer_run(shard->committer, told_work, &t, f);
}
