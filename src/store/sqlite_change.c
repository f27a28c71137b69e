/* SPDX-License-Identifier: ISC */
/* Messages of the SQLite engine that are there: flags, copy, expunge.
 * The invariants stand at the top of sqlite.c. */
#include <string.h>
#include <unistd.h>

#include "base/must.h"
#include "store/sqlite_private.h"
#include "sys/clock.h"

enum { FAR = 1000 };

/* ---- blobs ---- */

bool store_unref(struct db *db, struct store_shard *shard, int64_t blob,
	struct arena *a, struct strs *gone, struct fault *f)
{
	char path[4096];
	int64_t refs = 1;
	int64_t in_row = 1;

	if (!db_run(db, f, "UPDATE blobs SET refs=refs-1 WHERE blob=?", "i",
		    blob) ||
		!db_number(db, f, &refs, "SELECT refs FROM blobs WHERE blob=?",
			"i", blob))
		return false;
	if (refs > 0)
		return true;
	if (!db_number(db, f, &in_row,
		    "SELECT data IS NOT NULL FROM blobs WHERE blob=?", "i",
		    blob) ||
		!db_run(db, f, "DELETE FROM blobs WHERE blob=?", "i", blob))
		return false;
	if (!in_row) {
		store_blob_path(shard, blob, path, sizeof(path));
		strs_add(gone, a, arena_str(a, str_from(path)));
	}
	return true;
}

void store_unlink(const struct strs *gone)
{
	for (size_t i = 0; i < gone->n; i++)
		unlink(gone->v[i].ptr);
}

/* ---- flags ---- */

struct selection {
	struct store_shard *shard;
	int64_t account;
	int64_t mailbox;
	const uint32_t *uids;
	size_t n;
	struct store_flags *change;
	struct str to;
	bool move;
	const struct store_quota *quota;
	uint32_t *to_r;
	uint32_t uidvalidity;
	struct strs gone;
	struct arena *a;
};

static struct strs split(struct str text, struct arena *a)
{
	struct strs list = {0};
	struct str word;

	while (str_present(word = str_word(&text, " ")))
		strs_add(&list, a, word);
	return list;
}

/* RFC 9051 2.3.2: the case of a keyword does not matter. */
static bool has_word(const struct strs *words, struct str word)
{
	for (size_t i = 0; i < words->n; i++)
		if (str_ieq(words->v[i], word))
			return true;
	return false;
}

static struct str merge(const struct store_flags *x, struct str have,
	struct str set, struct arena *a)
{
	struct strs old, out = {0};

	if (x->keywords_kept)
		return have;
	if (x->op == FLAGS_SET)
		return set;
	if (x->keywords.n == 0)
		return have;
	old = split(have, a);
	for (size_t i = 0; i < old.n; i++)
		if (x->op == FLAGS_ADD || !has_word(&x->keywords, old.v[i]))
			strs_add(&out, a, old.v[i]);
	for (size_t i = 0; i < x->keywords.n && x->op == FLAGS_ADD; i++)
		if (!has_word(&out, x->keywords.v[i]))
			strs_add(&out, a, x->keywords.v[i]);
	return store_join(&out, a);
}

static uint32_t merge_flags(const struct store_flags *x, uint32_t have)
{
	uint32_t now = x->op == FLAGS_SET   ? x->flags
		       : x->op == FLAGS_ADD ? have | x->flags
					    : have & ~x->flags;

	return (now & ~x->kept) | (have & x->kept);
}

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

struct flag_run {
	struct selection *x;
	struct str set; /* of FLAGS_SET */
	struct store_count count;
	struct arena *row_a;
};

static bool flag_one(
	struct db *db, struct flag_run *r, size_t i, struct fault *f)
{
	struct selection *x = r->x;
	struct store_flags *c = x->change;
	uint32_t uid = x->uids[i];
	sqlite3_stmt *s = db_query(db, f,
		"SELECT flags, keywords, modseq FROM messages"
		" WHERE account=? AND mailbox=? AND uid=?",
		"iii", x->account, x->mailbox, (int64_t)uid);
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
	uint32_t now = merge_flags(c, have);
	struct str keywords = merge(c, words, r->set, r->row_a);
	if (now == have && str_eq(words, keywords))
		return true;
	r->count.unseen += bit(have, FLAG_SEEN) - bit(now, FLAG_SEEN);
	r->count.deleted += bit(now, FLAG_DELETED) - bit(have, FLAG_DELETED);
	if ((now & FLAG_SEEN) == 0 && (have & FLAG_SEEN) != 0 &&
		!lower_mark(db, x->account, x->mailbox, uid, f))
		return false;
	if (c->modseq == 0) {
		int64_t modseq = 0;

		if (!store_next_modseq(db, x->account, &modseq, f))
			return false;
		c->modseq = (uint64_t)modseq;
	}
	return db_run(db, f,
		"UPDATE messages SET flags=?, keywords=?, modseq=?"
		" WHERE account=? AND mailbox=? AND uid=?",
		"itiiii", (int64_t)now, keywords, (int64_t)c->modseq,
		x->account, x->mailbox, (int64_t)uid);
}

static bool flags_work(struct db *db, void *ctx, struct fault *f)
{
	struct selection *x = ctx;
	struct flag_run r = {.x = x,
		.set = store_join(&x->change->keywords, x->a),
		.row_a = arena_new(SIZE_MAX)};
	bool ok = true;

	x->change->modseq = 0;
	for (size_t i = 0; ok && i < x->n; i++) {
		if (x->change->conditional)
			x->change->failed[i] = false;
		ok = flag_one(db, &r, i, f);
	}
	arena_free(r.row_a);
	return ok && (x->change->modseq == 0 ||
			     store_count(db, x->account, x->mailbox,
				     (int64_t)x->change->modseq, &r.count, f));
}

static bool run(
	struct store *s, struct selection *x, db_work_f *work, struct fault *f)
{
	x->shard = store_shard_of(s, x->account);
	x->a = arena_new(SIZE_MAX);
	bool ok = committer_run(x->shard->committer, work, x, f);
	if (ok)
		store_unlink(&x->gone);
	arena_free(x->a);
	return ok;
}

bool store_flags(struct store *s, int64_t account, int64_t mailbox,
	const uint32_t *uids, size_t n, struct store_flags *change,
	struct fault *f)
{
	struct selection x = {.account = account,
		.mailbox = mailbox,
		.uids = uids,
		.n = n,
		.change = change};

	return n == 0 || run(s, &x, flags_work, f);
}

/* ---- copy, move, expunge ---- */

static bool forget_row(struct db *db, int64_t account, int64_t mailbox,
	int64_t uid, int64_t modseq, uint32_t flags, int64_t size,
	struct fault *f)
{
	struct store_count less = {-1, -(int64_t)((flags & FLAG_SEEN) == 0),
		-bit(flags, FLAG_DELETED), -size};

	return db_run(db, f,
		       "DELETE FROM messages"
		       " WHERE account=? AND mailbox=? AND uid=?",
		       "iii", account, mailbox, uid) &&
	       db_run(db, f, "INSERT INTO vanished VALUES(?,?,?,?)", "iiii",
		       account, mailbox, modseq, uid) &&
	       store_count(db, account, mailbox, modseq, &less, f) &&
	       db_run(db, f, /* invariant 9 */
		       "UPDATE mailboxes SET n_below=n_below-1"
		       " WHERE account=? AND mailbox=? AND seen_below>?",
		       "iii", account, mailbox, uid);
}

/* What the counters say of a message. */
struct counted {
	uint32_t flags;
	int64_t size, blob;
};

/* 1: it is there, 0: it is not, below: the fault says why */
static int read_counted(struct db *db, int64_t account, int64_t mailbox,
	int64_t uid, struct counted *m_r, struct fault *f)
{
	sqlite3_stmt *s = db_query(db, f,
		"SELECT flags, size, blob FROM messages"
		" WHERE account=? AND mailbox=? AND uid=?",
		"iii", account, mailbox, uid);
	int r = db_step(db, s, f);

	if (r > 0) {
		*m_r = (struct counted){
			(uint32_t)db_int(s, 0), db_int(s, 1), db_int(s, 2)};
		db_reset(s);
	}
	return r;
}

bool store_drop(struct db *db, struct store_shard *shard, int64_t account,
	int64_t mailbox, int64_t uid, int64_t modseq, struct arena *a,
	struct strs *gone, struct fault *f)
{
	struct counted m;
	int r = read_counted(db, account, mailbox, uid, &m, f);

	if (r <= 0)
		return r == 0;
	return forget_row(
		       db, account, mailbox, uid, modseq, m.flags, m.size, f) &&
	       store_unref(db, shard, m.blob, a, gone, f);
}

bool store_drop_all(struct db *db, struct store_shard *shard, int64_t account,
	int64_t mailbox, struct arena *a, struct strs *gone, struct fault *f)
{
	for (;;) {
		int64_t uid = 0;

		if (!db_number(db, f, &uid,
			    "SELECT min(uid) FROM messages"
			    " WHERE account=? AND mailbox=?",
			    "ii", account, mailbox))
			return false;
		if (uid == 0)
			return true;
		if (!store_keep(db, shard, account, mailbox, uid, f) ||
			!store_drop(db, shard, account, mailbox, uid, 0, a,
				gone, f))
			return false;
	}
}

static bool copy_one(struct db *db, int64_t account, int64_t from, int64_t uid,
	int64_t to, int64_t modseq, int64_t *uid_r, int64_t *uidvalidity_r,
	struct fault *f)
{
	struct counted m;
	int r = read_counted(db, account, from, uid, &m, f);

	*uid_r = 0;
	if (r <= 0)
		return r == 0;
	return store_count_new(db, account, to, modseq, m.flags, m.size, uid_r,
		       uidvalidity_r, f) &&
	       db_run(db, f,
		       "INSERT INTO messages SELECT account, ?, ?, ?, ?, flags,"
		       " keywords, size, received, ?, blob, prefix"
		       " FROM messages WHERE account=? AND mailbox=? AND uid=?",
		       "iiiiiiii", to, *uid_r, modseq, modseq, clock_unix(),
		       account, from, uid) &&
	       db_run(db, f, "UPDATE blobs SET refs=refs+1 WHERE blob=?", "i",
		       m.blob);
}

bool store_move_all(struct db *db, int64_t account, int64_t from, int64_t to,
	struct fault *f)
{
	struct arena *a = arena_new(SIZE_MAX);
	struct strs gone = {0};
	bool ok = true;

	for (;;) {
		int64_t uid = 0, modseq = 0, fresh, uidvalidity;

		ok = ok && db_number(db, f, &uid,
				   "SELECT min(uid) FROM messages"
				   " WHERE account=? AND mailbox=?",
				   "ii", account, from);
		if (!ok || uid == 0)
			break;
		/* The copy holds the blob: store_drop frees no file. */
		ok = store_next_modseq(db, account, &modseq, f) &&
		     copy_one(db, account, from, uid, to, modseq, &fresh,
			     &uidvalidity, f) &&
		     store_drop(
			     db, NULL, account, from, uid, modseq, a, &gone, f);
	}
	arena_free(a);
	return ok;
}

/* After the copies are there: nobody knows their size before. */
static bool still_within(
	struct db *db, const struct selection *x, struct fault *f)
{
	return x->move || store_within(db, x->account, x->quota, 0, 0, f);
}

static bool copy_work(struct db *db, void *ctx, struct fault *f)
{
	struct selection *x = ctx;
	int64_t to = 0, modseq = 0, uidvalidity = 0;

	if (!store_find_mailbox(db, x->account, x->to, &to, f))
		return false;
	if (to == 0)
		return fault_set(f, FAULT_PERM, 0, 0, 2, "no mailbox %.*s",
			STR_ARG(x->to));
	if (!store_next_modseq(db, x->account, &modseq, f) ||
		!db_number(db, f, &uidvalidity,
			"SELECT uidvalidity FROM mailboxes"
			" WHERE account=? AND mailbox=?",
			"ii", x->account, to))
		return false;
	for (size_t i = 0; i < x->n; i++) {
		int64_t uid;

		if (!copy_one(db, x->account, x->mailbox, x->uids[i], to,
			    modseq, &uid, &uidvalidity, f))
			return false;
		x->to_r[i] = (uint32_t)uid;
		if (x->move && uid != 0 &&
			!store_drop(db, x->shard, x->account, x->mailbox,
				x->uids[i], modseq, x->a, &x->gone, f))
			return false;
	}
	x->uidvalidity = (uint32_t)uidvalidity;
	return still_within(db, x, f);
}

bool store_copy(struct store *s, int64_t account, int64_t mailbox,
	const uint32_t *uids, size_t n, struct str to, bool move,
	const struct store_quota *quota, uint32_t *to_r,
	uint32_t *uidvalidity_r, struct fault *f)
{
	struct selection x = {.account = account,
		.mailbox = mailbox,
		.uids = uids,
		.n = n,
		.to = to,
		.move = move,
		.quota = quota,
		.to_r = to_r};

	if (!run(s, &x, copy_work, f))
		return false;
	*uidvalidity_r = x.uidvalidity;
	return true;
}

static bool expunge_work(struct db *db, void *ctx, struct fault *f)
{
	struct selection *x = ctx;
	int64_t modseq = 0;

	if (!store_next_modseq(db, x->account, &modseq, f))
		return false;
	for (size_t i = 0; i < x->n; i++)
		if (!store_keep(db, x->shard, x->account, x->mailbox,
			    x->uids[i], f) ||
			!store_drop(db, x->shard, x->account, x->mailbox,
				x->uids[i], modseq, x->a, &x->gone, f))
			return false;
	return store_purge(db, x->shard, x->account, x->a, &x->gone, f);
}

bool store_expunge(struct store *s, int64_t account, int64_t mailbox,
	const uint32_t *uids, size_t n, struct fault *f)
{
	struct selection x = {
		.account = account, .mailbox = mailbox, .uids = uids, .n = n};

	return n == 0 || run(s, &x, expunge_work, f);
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

bool store_first_unseen(struct store *s, int64_t account,
	const struct store_mailbox *box, uint32_t *uid_r, uint64_t *below_r,
	struct fault *f)
{
	struct store_shard *shard = store_shard_of(s, account);
	struct mark m = {account, box->id, box->modseq, 0, 0};

	*uid_r = 0;
	*below_r = 0;
	if (box->n_unseen == 0)
		return true;
	struct db *db = readers_get(shard->readers, f);
	if (db == NULL)
		return false;
	bool ok = find_unseen(db, box, &m, f);
	readers_put(shard->readers, db);
	if (!ok)
		return false;
	*uid_r = m.uid;
	*below_r = m.n_below;
	/* Far enough to be worth a write. */
	return m.uid == 0 || m.n_below < box->n_below + FAR ||
	       committer_run(shard->committer, mark_work, &m, f);
}
