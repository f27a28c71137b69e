/* SPDX-License-Identifier: ISC */
/* New messages of the SQLite engine: delivery, APPEND, REPLACE.
 * The invariants stand at the top of sqlite.c. */
#include <stdlib.h>
#include <unistd.h>

#include "base/must.h"
#include "store/rules.h"
#include "store/sqlite_private.h"
#include "sys/clock.h"

enum { PRUNE_EVERY = 4096 };
/* Longer than anybody tries to deliver a message: invariant 10. */
static const int64_t DELIVERIES_KEPT_S = 30 * 86400;

/* ---- counters: invariants 4 and 6 ---- */

bool store_count(struct db *db, int64_t account, int64_t mailbox,
	int64_t modseq, const struct store_count *c, struct fault *f)
{
	return db_run(db, f,
		"UPDATE mailboxes SET modseq=?, n_exists=n_exists+?,"
		" n_unseen=n_unseen+?, n_deleted=n_deleted+?, bytes=bytes+?,"
		" uidnext=uidnext+?, n_below=n_below+?"
		" WHERE account=? AND mailbox=?",
		"iiiiiiiii", modseq, c->exists, c->unseen, c->deleted, c->bytes,
		c->uids, c->below, account, mailbox);
}

bool store_count_new(struct db *db, int64_t account, int64_t mailbox,
	int64_t modseq, uint32_t flags, int64_t bytes, int64_t *uid_r,
	int64_t *uidvalidity_r, struct fault *f)
{
	sqlite3_stmt *s = db_query(db, f,
		"UPDATE mailboxes SET uidnext=uidnext+1, modseq=?,"
		" n_exists=n_exists+1, n_unseen=n_unseen+?,"
		" n_deleted=n_deleted+?, bytes=bytes+?"
		" WHERE account=? AND mailbox=?"
		" RETURNING uidnext-1, uidvalidity",
		"iiiiii", modseq, (int64_t)((flags & FLAG_SEEN) == 0),
		(int64_t)((flags & FLAG_DELETED) != 0), bytes, account,
		mailbox);

	if (db_step(db, s, f) <= 0)
		return fault_set(f, FAULT_TEMP, 451, 3, 0, "mailbox is gone");
	*uid_r = db_int(s, 0);
	*uidvalidity_r = db_int(s, 1);
	return db_step(db, s, f) == 0;
}

bool store_within(struct db *db, int64_t account,
	const struct store_quota *quota, uint64_t bytes, uint64_t messages,
	struct fault *f)
{
	if (quota == NULL || (quota->bytes == 0 && quota->messages == 0))
		return true;
	struct store_mailbox all;
	return store_read_together(db, account, &all, f) &&
	       store_quota_fits(
		       quota, all.bytes + bytes, all.n_exists + messages, f);
}

/* ---- one body ---- */

struct body {
	struct str bytes;
	struct str cache;
	int64_t blob;
	bool in_file;
	bool stored; /* its row is there */
};

static bool write_file(struct store_shard *shard, int64_t blob, struct str body,
	struct fault *f)
{
	char path[4096];

	store_blob_path(shard, blob, path, sizeof(path));
	int fd CLEANUP(fd_close) = file_tmp(shard->blob_dir, f);
	return fd >= 0 && file_write(fd, body, f) &&
	       file_link_fd(fd, path, f) && file_sync(fd, f) &&
	       dir_sync_of(path, f);
}

/* The first row that names the blob brings it. */
static bool store_body(struct db *db, struct body *b, struct fault *f)
{
	if (b->stored)
		return db_run(db, f,
			"UPDATE blobs SET refs=refs+1 WHERE blob=?", "i",
			b->blob);
	b->stored = db_run(db, f, "INSERT INTO blobs VALUES(?,1,?,?,?)", "iibb",
		b->blob, (int64_t)b->bytes.len, b->cache,
		b->in_file ? STR_NONE : b->bytes);
	return b->stored;
}

/* ---- delivery into one shard ---- */

struct delivery {
	struct store_shard *shard;
	struct store_target *targets;
	size_t n;
	struct body *bodies;
	size_t *body_of; /* of each target */
	size_t n_bodies;
	struct strs gone; /* blob files of what was replaced */
	struct arena *a;
};

static bool insert_row(struct db *db, struct delivery *d,
	struct store_target *t, const struct body *body, struct fault *f)
{
	const struct store_new *m = t->m;
	const struct store_record row = {.flags = m->flags,
		.keywords = store_join(&m->keywords, d->a),
		.size = (int64_t)(m->prefix.len + m->body.len),
		.received = m->received,
		.saved = clock_unix(),
		.blob = body->blob,
		.stamp = m->stamp,
		.prefix = m->prefix};
	int64_t uid, uidvalidity, modseq = 0;

	if (!store_keywords_fit(row.keywords, f) ||
		!store_next_modseq(db, t->account, &modseq, f) ||
		!store_count_new(db, t->account, t->mailbox, modseq, m->flags,
			row.size, &uid, &uidvalidity, f))
		return false;
	t->uid = (uint32_t)uid;
	t->uidvalidity = (uint32_t)uidvalidity;
	return store_insert(db, t->account, t->mailbox, uid, modseq, &row, f);
}

/* Was this message delivered there before?  A retry finds it. */
static bool note_delivery(struct db *db, const struct store_target *t,
	bool *have_r, struct fault *f)
{
	*have_r = false;
	if (t->m->msg == 0)
		return true;
	if (!db_run(db, f, "INSERT OR IGNORE INTO deliveries VALUES(?,?,?)",
		    "iii", t->m->msg, t->account, t->mailbox))
		return false;
	*have_r = db_changes(db) == 0;
	return true;
}

static bool set_validity(struct db *db, int64_t account, int64_t mailbox,
	int64_t validity, struct fault *f)
{
	return db_run(db, f,
		"UPDATE mailboxes SET uidvalidity=? WHERE account=? AND "
		"mailbox=?",
		"iii", validity, account, mailbox);
}

/* A mailbox that never gave a UID takes the UIDVALIDITY of an import.  No other
 * of the account may have it (invariant 7): one that never gave a UID either
 * gets a fresh one, one that did keeps it. */
static bool adopt_validity(struct db *db, const struct store_target *t,
	int64_t *validity, struct fault *f)
{
	int64_t wanted = t->m->uidvalidity, used = 0, unused = 0, fresh = 0;

	if (wanted == 0 || wanted > STORE_KEPT_MAX || *validity == wanted)
		return true;
	if (!db_number(db, f, &used,
		    "SELECT mailbox FROM mailboxes WHERE account=?"
		    " AND mailbox>0 AND uidvalidity=? AND uidnext>1",
		    "ii", t->account, wanted) ||
		!db_number(db, f, &unused,
			"SELECT mailbox FROM mailboxes WHERE account=?"
			" AND mailbox>0 AND uidvalidity=? AND uidnext=1",
			"ii", t->account, wanted))
		return false;
	if (used > 0)
		return true;
	*validity = wanted;
	return db_run(db, f,
		       "UPDATE mailboxes SET uidnext=max(uidnext, ?)"
		       " WHERE account=? AND mailbox=0",
		       "ii", wanted, t->account) &&
	       (unused == 0 ||
		       (store_next_uidvalidity(db, t->account, &fresh, f) &&
			       set_validity(
				       db, t->account, unused, fresh, f))) &&
	       set_validity(db, t->account, t->mailbox, wanted, f);
}

/* Makes the wanted UID the next; *have_r: a message has it. */
static bool keep_uid(struct db *db, const struct store_target *t, bool *have_r,
	struct fault *f)
{
	int64_t uid = t->m->uid, n = 0;

	if (uid == 0 || uid > STORE_KEPT_MAX)
		return true;
	sqlite3_stmt *q = db_query(db, f,
		"SELECT uidvalidity, uidnext FROM mailboxes"
		" WHERE account=? AND mailbox=?",
		"ii", t->account, t->mailbox);
	if (db_step(db, q, f) <= 0)
		return fault_set(f, FAULT_TEMP, 451, 3, 0, "mailbox is gone");
	int64_t validity = db_int(q, 0), next = db_int(q, 1);
	db_reset(q);
	if (next == 1 && !adopt_validity(db, t, &validity, f))
		return false;
	if (validity != t->m->uidvalidity)
		return true;
	if (uid >= next)
		return db_run(db, f,
			"UPDATE mailboxes SET uidnext=?"
			" WHERE account=? AND mailbox=?",
			"iii", uid, t->account, t->mailbox);
	if (!db_number(db, f, &n,
		    "SELECT count(*) FROM messages"
		    " WHERE account=? AND mailbox=? AND uid=? AND size=?"
		    " AND received=?",
		    "iiiii", t->account, t->mailbox, uid,
		    (int64_t)(t->m->prefix.len + t->m->body.len),
		    t->m->received))
		return false;
	*have_r = n > 0;
	return true;
}

/* Its special use first: people rename their Junk. */
static bool find_target(struct db *db, struct store_target *t, struct fault *f)
{
	t->mailbox = 0;
	if (t->m->use != ROLE_NONE &&
		!db_number(db, f, &t->mailbox,
			"SELECT mailbox FROM mailboxes"
			" WHERE account=? AND mailbox>0 AND role=?"
			" ORDER BY mailbox LIMIT 1",
			"ii", t->account, (int64_t)t->m->use))
		return false;
	return t->mailbox > 0 || store_find_mailbox(db, t->account,
					 t->m->mailbox, &t->mailbox, f);
}

static bool find_or_make(struct db *db, struct store_target *t, struct fault *f)
{
	if (!find_target(db, t, f))
		return false;
	if (t->mailbox == 0 && (!store_ensure_account(db, t->account, f) ||
				       !find_target(db, t, f)))
		return false;
	if (t->mailbox != 0)
		return true;
	if (!t->m->create)
		return store_no_such(t->m->mailbox, f);
	return store_make_mailbox(db, t->account, t->m->mailbox, t->m->use,
		       &t->mailbox, f) &&
	       store_subscribe(db, t->account, t->m->mailbox, f);
}

static bool drop_replaced(struct db *db, struct delivery *d,
	const struct store_target *t, struct fault *f)
{
	const struct store_end end = {.shard = d->shard,
		.account = t->account,
		.mailbox = t->m->instead_mailbox,
		.a = d->a,
		.gone = &d->gone};
	int64_t modseq = 0;

	return t->m->instead_uid == 0 ||
	       (store_next_modseq(db, t->account, &modseq, f) &&
		       store_drop(db, &end, t->m->instead_uid, modseq, f));
}

static bool deliver_one(
	struct db *db, struct delivery *d, size_t i, struct fault *f)
{
	struct store_target *t = &d->targets[i];
	struct body *body = &d->bodies[d->body_of[i]];
	bool have;

	t->uid = t->uidvalidity = 0;
	if (!find_or_make(db, t, f) || !note_delivery(db, t, &have, f) ||
		(!have && !keep_uid(db, t, &have, f)))
		return false;
	return have ||
	       (drop_replaced(db, d, t, f) &&
		       store_within(db, t->account, &t->m->quota,
			       t->m->prefix.len + t->m->body.len, 1, f) &&
		       store_body(db, body, f) &&
		       insert_row(db, d, t, body, f));
}

/* Now and then: the ids are made of the time. */
static bool prune(struct db *db, struct store_shard *shard, struct fault *f)
{
	uint64_t at = (uint64_t)(clock_unix() - DELIVERIES_KEPT_S) * 1000000u;

	return shard->deliveries++ % PRUNE_EVERY != 0 ||
	       db_run(db, f, "DELETE FROM deliveries WHERE msg>0 AND msg<?",
		       "i", (int64_t)(at << 12));
}

static bool deliver_work(struct db *db, void *ctx, struct fault *f)
{
	struct delivery *d = ctx;

	for (size_t i = 0; i < d->n_bodies; i++)
		d->bodies[i].stored = false;
	d->gone = (struct strs){0};
	for (size_t i = 0; i < d->n; i++)
		if (!deliver_one(db, d, i, f))
			return false;
	return prune(db, d->shard, f);
}

static bool same_body(const struct store_new *a, const struct store_new *b)
{
	return a->body.ptr == b->body.ptr && a->body.len == b->body.len;
}

static bool collect_bodies(struct delivery *d, struct fault *f)
{
	d->bodies = arena_alloc(d->a, d->n * sizeof(*d->bodies));
	d->body_of = arena_alloc(d->a, d->n * sizeof(*d->body_of));
	for (size_t i = 0; i < d->n; i++) {
		const struct store_new *m = d->targets[i].m;

		if (i == 0 || !same_body(m, d->targets[i - 1].m)) {
			struct body *b = &d->bodies[d->n_bodies++];

			*b = (struct body){.bytes = m->body,
				.cache = m->cache,
				.blob = (int64_t)id_new(),
				.in_file = m->body.len > STORE_ROW_MAX};
			if (b->in_file &&
				!write_file(d->shard, b->blob, m->body, f))
				return false;
		}
		d->body_of[i] = d->n_bodies - 1;
	}
	return true;
}

static bool deliver_shard(struct store_shard *shard,
	struct store_target *targets, size_t n, struct fault *f)
{
	struct delivery d = {.shard = shard,
		.targets = targets,
		.n = n,
		.a = arena_new(SIZE_MAX)};
	char path[4096];

	bool ok = collect_bodies(&d, f) &&
		  committer_run(shard->committer, deliver_work, &d, f);
	for (size_t i = 0; i < d.n_bodies; i++)
		if (d.bodies[i].in_file && (!ok || !d.bodies[i].stored)) {
			store_blob_path(
				shard, d.bodies[i].blob, path, sizeof(path));
			unlink(path);
		}
	if (ok)
		store_unlink(&d.gone);
	arena_free(d.a);
	return ok;
}

static int by_shard(const void *x, const void *y, void *ctx)
{
	const struct store_target *a = x, *b = y;
	struct store *s = ctx;
	struct store_shard *p = store_shard_of(s, a->account);
	struct store_shard *q = store_shard_of(s, b->account);

	if (p != q)
		return p < q ? -1 : 1;
	return (a->account > b->account) - (a->account < b->account);
}

static void deliver_group(
	struct store_shard *shard, struct store_target *targets, size_t n)
{
	struct fault f = {0};
	bool ok = deliver_shard(shard, targets, n, &f);
	bool alone = targets[n - 1].account == targets[0].account;

	for (size_t i = 0; i < n; i++) {
		targets[i].ok = ok;
		targets[i].fault = f;
	}
	if (ok || alone || f.class != FAULT_PERM)
		return;
	/* The mailbox of one is full: the others get their mail. */
	for (size_t i = 0, end; i < n; i = end) {
		for (end = i + 1;
			end < n && targets[end].account == targets[i].account;)
			end++;
		deliver_group(shard, targets + i, end - i);
	}
}

void store_deliver(struct store *s, struct store_target *targets, size_t n)
{
	/* The order within one account matters: MULTIAPPEND. */
	bool mixed = false;

	for (size_t i = 1; i < n; i++)
		mixed |= targets[i].account != targets[0].account;
	if (mixed)
		qsort_r(targets, n, sizeof(*targets), by_shard, s);
	for (size_t i = 0, end; i < n; i = end) {
		struct store_shard *shard =
			store_shard_of(s, targets[i].account);

		for (end = i + 1;
			end < n &&
			store_shard_of(s, targets[end].account) == shard;)
			end++;
		deliver_group(shard, targets + i, end - i);
	}
}
