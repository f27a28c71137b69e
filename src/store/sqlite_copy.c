/* SPDX-License-Identifier: ISC */
/* Rows of messages of the SQLite engine that come from others, or end: copy,
 * move, expunge.  The invariants stand at the top of sqlite.c.
 *
 * A row goes through our memory, one INSERT of its own: INSERT ... SELECT would
 * have SQLite remember the state before each, and the time for that grows with
 * the transaction. */
#include <string.h>
#include <unistd.h>

#include "store/rules.h"
#include "store/sqlite_private.h"
#include "sys/clock.h"
#include "sys/log.h"

enum { AT_ONCE = 1000 };

/* ---- rows ---- */

int store_record(struct db *db, int64_t account, int64_t mailbox, int64_t uid,
	struct store_record *m_r, struct fault *f)
{
	sqlite3_stmt *q = db_query(db, f,
		"SELECT flags, keywords, size, received, savedate, blob,"
		" prefix, stamp FROM messages WHERE account=? AND mailbox=? "
		"AND uid=?",
		"iii", account, mailbox, uid);
	int r = db_step(db, q, f);

	if (r > 0)
		*m_r = (struct store_record){.flags = (uint32_t)db_int(q, 0),
			.keywords = db_text(q, 1),
			.size = db_int(q, 2),
			.received = db_int(q, 3),
			.saved = db_int(q, 4),
			.blob = db_int(q, 5),
			.prefix = db_blob(q, 6),
			.stamp = db_int(q, 7),
			.q = q};
	return r;
}

bool store_insert(struct db *db, int64_t account, int64_t mailbox, int64_t uid,
	int64_t modseq, const struct store_record *m, struct fault *f)
{
	return db_run(db, f,
		"INSERT INTO messages VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?)",
		"iiiiiitiiiibi", account, mailbox, uid, modseq, modseq,
		(int64_t)m->flags, m->keywords, m->size, m->received, m->saved,
		m->blob, m->prefix, m->stamp);
}

static void count(
	struct store_count *c, const struct store_record *m, int64_t by)
{
	c->exists += by;
	c->unseen += by * ((m->flags & FLAG_SEEN) == 0);
	c->deleted += by * ((m->flags & FLAG_DELETED) != 0);
	c->bytes += by * m->size;
}

/* ---- the end of one ---- */

bool store_unref(struct db *db, struct store_shard *shard, int64_t blob,
	struct arena *a, struct strs *gone, struct fault *f)
{
	sqlite3_stmt *q = db_query(db, f,
		"SELECT refs, data IS NULL FROM blobs WHERE blob=?", "i", blob);
	char path[4096];

	int r = db_step(db, q, f);
	if (r <= 0)
		return r == 0;
	bool last = db_int(q, 0) <= 1, in_file = db_int(q, 1) != 0;
	db_reset(q);
	if (!last)
		return db_run(db, f,
			"UPDATE blobs SET refs=refs-1 WHERE blob=?", "i", blob);
	if (in_file) {
		store_blob_path(shard, blob, path, sizeof(path));
		strs_add(gone, a, arena_str(a, str_from(path)));
	}
	return db_run(db, f, "DELETE FROM blobs WHERE blob=?", "i", blob);
}

void store_unlink(const struct strs *gone)
{
	for (size_t i = 0; i < gone->n; i++)
		unlink(gone->v[i].ptr);
}

bool store_end_record(struct db *db, const struct store_end *x, int64_t uid,
	const struct store_record *m, struct fault *f)
{
	if (!x->keep || x->shard->settings.keep_removed_s <= 0)
		return store_unref(db, x->shard, m->blob, x->a, x->gone, f);
	return db_run(db, f,
		"INSERT INTO removed VALUES(?,?,?,?,?,?,?,?,?,?,?)",
		"iiiiitiiiib", x->account, clock_unix(), x->mailbox, uid,
		(int64_t)m->flags, m->keywords, m->size, m->received, m->saved,
		m->blob, m->prefix);
}

/* What ends in one mailbox, by one change. */
struct ending {
	struct store_end end;
	int64_t modseq;
	int64_t seen_below; /* of the mailbox: invariant 9 */
	struct store_count less;
};

static bool begin_ending(struct db *db, struct ending *x, struct fault *f)
{
	x->seen_below = 0;
	x->less = (struct store_count){0};
	return db_number(db, f, &x->seen_below,
		"SELECT seen_below FROM mailboxes"
		" WHERE account=? AND mailbox=?",
		"ii", x->end.account, x->end.mailbox);
}

/* Its record was dealt with. */
static bool forget(struct db *db, struct ending *x, int64_t uid,
	const struct store_record *m, struct fault *f)
{
	count(&x->less, m, -1);
	x->less.below -= uid < x->seen_below;
	return db_run(db, f,
		       "DELETE FROM messages"
		       " WHERE account=? AND mailbox=? AND uid=?",
		       "iii", x->end.account, x->end.mailbox, uid) &&
	       db_run(db, f, "INSERT INTO vanished VALUES(?,?,?,?)", "iiii",
		       x->end.account, x->end.mailbox, x->modseq, uid);
}

static bool end_one(
	struct db *db, struct ending *x, int64_t uid, struct fault *f)
{
	struct store_record m;
	int r = store_record(db, x->end.account, x->end.mailbox, uid, &m, f);

	if (r <= 0)
		return r == 0;
	bool ok = store_end_record(db, &x->end, uid, &m, f);
	db_reset(m.q);
	return ok && forget(db, x, uid, &m, f);
}

static bool count_ended(struct db *db, const struct ending *x, struct fault *f)
{
	return x->less.exists == 0 ||
	       store_count(db, x->end.account, x->end.mailbox, x->modseq,
		       &x->less, f);
}

bool store_drop(struct db *db, const struct store_end *end, int64_t uid,
	int64_t modseq, struct fault *f)
{
	struct ending x = {.end = *end, .modseq = modseq};

	return begin_ending(db, &x, f) && end_one(db, &x, uid, f) &&
	       count_ended(db, &x, f);
}

/* Messages of one mailbox, and what is done with them. */
struct selection {
	struct store_shard *shard;
	int64_t account, mailbox;
	const uint32_t *uids;
	size_t n;
	/* of an EXPUNGE */
	bool keep;
	struct strs gone;
	struct arena *a;
	/* of a COPY or MOVE */
	struct str to;
	bool move;
	const struct store_quota *quota;
	uint32_t *to_r;
	int64_t to_mailbox, uidvalidity;
	struct store_given *parts; /* of a COPY: those that are there */
	size_t n_parts;
	bool last; /* no part comes behind this one */
};

/* ---- copy and move ---- */

struct target {
	int64_t mailbox, uidnext, modseq;
	struct store_count more;
};

static bool find_target(
	struct db *db, struct selection *x, struct target *t, struct fault *f)
{
	sqlite3_stmt *q = db_query(db, f,
		"SELECT mailbox, uidnext, uidvalidity FROM mailboxes"
		" WHERE account=? AND mailbox>0 AND name=?",
		"it", x->account, x->to);
	int r = db_step(db, q, f);

	if (r == 0)
		return store_no_such(x->to, f);
	if (r < 0)
		return false;
	*t = (struct target){.mailbox = db_int(q, 0), .uidnext = db_int(q, 1)};
	x->to_mailbox = t->mailbox;
	x->uidvalidity = db_int(q, 2);
	db_reset(q);
	return store_next_modseq(db, x->account, &t->modseq, f);
}

/* A blob that moves has as many rows as before. */
static bool copy_one(struct db *db, const struct selection *x, struct target *t,
	struct ending *from, size_t i, struct fault *f)
{
	int64_t uid = t->uidnext + t->more.uids;
	struct store_record m;
	int r = store_record(db, x->account, x->mailbox, x->uids[i], &m, f);

	x->to_r[i] = 0;
	if (r <= 0)
		return r == 0;
	m.saved = clock_unix();
	bool ok =
		store_insert(db, x->account, t->mailbox, uid, t->modseq, &m, f);
	db_reset(m.q);
	x->to_r[i] = (uint32_t)uid;
	t->more.uids++;
	count(&t->more, &m, 1);
	return ok && (x->move ? forget(db, from, x->uids[i], &m, f)
			      : db_run(db, f,
					"UPDATE blobs SET refs=refs+1"
					" WHERE blob=?",
					"i", m.blob));
}

/* The UIDs of this part, which stand behind each other. */
static struct store_given part_given(const struct target *t)
{
	uint32_t n = (uint32_t)t->more.uids, first = (uint32_t)t->uidnext;

	return n == 0 ? (struct store_given){0}
		      : (struct store_given){first, first + n - 1};
}

/* Invariant 12 */
static bool note_part(struct db *db, struct selection *x,
	const struct target *t, struct fault *f)
{
	if (!x->last) {
		x->parts[x->n_parts] = part_given(t);
		return store_note_part(
			db, x->account, t->mailbox, &x->parts[x->n_parts], f);
	}
	for (size_t i = 0; i < x->n_parts; i++)
		if (!store_forget_part(
			    db, x->account, t->mailbox, &x->parts[i], f))
			return false;
	return true;
}

static bool copy_work(struct db *db, void *ctx, struct fault *f)
{
	struct selection *x = ctx;
	struct target t;

	if (!find_target(db, x, &t, f))
		return false;
	struct ending from = {
		.end = {.account = x->account, .mailbox = x->mailbox},
		.modseq = t.modseq};
	if (!begin_ending(db, &from, f))
		return false;
	for (size_t i = 0; i < x->n; i++)
		if (!copy_one(db, x, &t, &from, i, f))
			return false;
	if (!store_count(db, x->account, t.mailbox, t.modseq, &t.more, f) ||
		!count_ended(db, &from, f))
		return false;
	/* With the copies in it: nobody knows their size before. */
	return x->move ||
	       (note_part(db, x, &t, f) &&
		       store_within(db, x->account, x->quota, 0, 0, f));
}

/* ---- expunge ---- */

static bool expunge_work(struct db *db, void *ctx, struct fault *f)
{
	struct selection *x = ctx;
	struct ending from = {.end = {.shard = x->shard,
				      .account = x->account,
				      .mailbox = x->mailbox,
				      .keep = x->keep,
				      .a = x->a,
				      .gone = &x->gone}};

	x->gone = (struct strs){0};
	if (!store_next_modseq(db, x->account, &from.modseq, f) ||
		!begin_ending(db, &from, f))
		return false;
	for (size_t i = 0; i < x->n; i++)
		if (!end_one(db, &from, x->uids[i], f))
			return false;
	return count_ended(db, &from, f) &&
	       store_purge(db, x->shard, x->account, x->a, &x->gone, f);
}

/* ---- in parts: nobody else waits for all of it ---- */

static size_t part_of(size_t n, size_t from)
{
	return n - from < AT_ONCE ? n - from : AT_ONCE;
}

bool store_end_uids(struct store_shard *shard, int64_t account, int64_t mailbox,
	const uint32_t *uids, size_t n, bool keep, struct fault *f)
{
	struct selection x = {.shard = shard,
		.account = account,
		.mailbox = mailbox,
		.keep = keep,
		.a = arena_new(SIZE_MAX)};
	bool ok = true;

	for (size_t i = 0; ok && i < n; i += AT_ONCE) {
		x.uids = uids + i;
		x.n = part_of(n, i);
		ok = committer_run(shard->committer, expunge_work, &x, f);
		if (ok)
			store_unlink(&x.gone);
		arena_reset(x.a);
	}
	arena_free(x.a);
	return ok;
}

bool store_expunge(struct store *s, int64_t account, int64_t mailbox,
	const uint32_t *uids, size_t n, struct fault *f)
{
	return store_end_uids(
		store_shard_of(s, account), account, mailbox, uids, n, true, f);
}

static bool forget_work(struct db *db, void *ctx, struct fault *f)
{
	const struct selection *x = ctx;

	for (size_t i = 0; i < x->n_parts; i++)
		if (!store_forget_part(
			    db, x->account, x->to_mailbox, &x->parts[i], f))
			return false;
	return true;
}

/* RFC 9051 6.4.7: a COPY that fails leaves nothing. */
static void take_back(
	struct store_shard *shard, struct selection *x, uint32_t *to, size_t n)
{
	size_t made = 0;
	struct fault f;

	for (size_t i = 0; i < n; i++)
		if (to[i] != 0)
			to[made++] = to[i];
	if (!store_end_uids(
		    shard, x->account, x->to_mailbox, to, made, false, &f) ||
		!committer_run(shard->committer, forget_work, x, &f))
		log_error("a failed copy is not undone", log_fault(&f));
	memset(to, 0, n * sizeof(*to));
}

bool store_copy(struct store *s, int64_t account, int64_t mailbox,
	const uint32_t *uids, size_t n, struct str to, bool move,
	const struct store_quota *quota, uint32_t *to_r,
	uint32_t *uidvalidity_r, struct fault *f)
{
	struct store_shard *shard = store_shard_of(s, account);
	struct selection x = {.account = account,
		.mailbox = mailbox,
		.to = to,
		.move = move,
		.quota = quota,
		.a = arena_new(SIZE_MAX)};
	bool ok = true;

	x.parts = arena_alloc(x.a, (n / AT_ONCE + 1) * sizeof(*x.parts));
	memset(to_r, 0, n * sizeof(*to_r));
	for (size_t i = 0; ok && i < n; i += AT_ONCE) {
		x.uids = uids + i;
		x.to_r = to_r + i;
		x.n = part_of(n, i);
		x.last = i + x.n == n;
		ok = committer_run(shard->committer, copy_work, &x, f);
		if (ok) {
			x.n_parts++;
			continue;
		}
		memset(x.to_r, 0, x.n * sizeof(*to_r));
		if (!move)
			take_back(shard, &x, to_r, i);
	}
	arena_free(x.a);
	*uidvalidity_r = (uint32_t)x.uidvalidity;
	return ok;
}
