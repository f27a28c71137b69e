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
	sqlite3_stmt *q = db_query(db, f,
		"SELECT uidnext, uidvalidity FROM mailboxes"
		" WHERE account=? AND mailbox=?",
		"ii", account, mailbox);

	if (db_step(db, q, f) <= 0)
		return fault_set(f, FAULT_TEMP, 451, 3, 0, "mailbox is gone");
	*uid_r = db_int(q, 0);
	*uidvalidity_r = db_int(q, 1);
	db_reset(q);
	return store_count(db, account, mailbox, modseq,
		&(struct store_count){.exists = 1,
			.unseen = (flags & FLAG_SEEN) == 0,
			.deleted = (flags & FLAG_DELETED) != 0,
			.bytes = bytes,
			.uids = 1},
		f);
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
	bool one; /* of one target: its prefix stands in front of it */
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
	bool tidy; /* its work is: deliver_tidy */
	bool mixed_up; /* it cannot be, after all */
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
		.prefix = body->one ? STR_NONE : m->prefix};
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

/* Invariant 12, for a delivery that is one of several. */
static bool note_whole(struct db *db, const struct delivery *d, struct fault *f)
{
	const struct store_target *first = &d->targets[0];
	struct store_given part = {first->uid, d->targets[d->n - 1].uid};

	if (first->m->more &&
		!store_note_part(db, first->account, first->mailbox, &part, f))
		return false;
	for (size_t i = 0; i < first->m->n_parts; i++) {
		part.first = first->m->parts[i];
		if (!store_forget_part(
			    db, first->account, first->mailbox, &part, f))
			return false;
	}
	return true;
}

/* One message as most are: nothing is changed before it is sure that it comes.
 * A retry finds what was delivered before, also where the mailbox is full now.
 */
static bool deliver_tidy(struct db *db, struct delivery *d, struct fault *f)
{
	struct store_target *t = &d->targets[0];
	uint64_t bytes = t->m->prefix.len + t->m->body.len;
	int64_t n = 0;
	bool have;

	t->uid = t->uidvalidity = 0;
	if (!find_target(db, t, f))
		return false;
	d->mixed_up = t->mailbox == 0;
	if (d->mixed_up)
		return store_no_such(t->m->mailbox, f);
	if (!store_within(db, t->account, &t->m->quota, bytes, 1, f))
		return f->class == FAULT_PERM && t->m->msg != 0 &&
		       db_number(db, f, &n,
			       "SELECT count(*) FROM deliveries"
			       " WHERE msg=? AND account=? AND mailbox=?",
			       "iii", t->m->msg, t->account, t->mailbox) &&
		       n > 0;
	return note_delivery(db, t, &have, f) &&
	       (have || (store_body(db, &d->bodies[0], f) &&
				insert_row(db, d, t, &d->bodies[0], f)));
}

static bool may_be_tidy(const struct delivery *d)
{
	const struct store_new *m = d->targets[0].m;

	return d->n == 1 && m->keywords.n == 0 && m->uid == 0 &&
	       m->instead_uid == 0 && !m->more && m->n_parts == 0;
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
	if (d->tidy && !deliver_tidy(db, d, f))
		return false;
	for (size_t i = 0; i < d->n && !d->tidy; i++)
		if (!deliver_one(db, d, i, f))
			return false;
	if (!note_whole(db, d, f))
		return false;
	return prune(db, d->shard, f);
}

static bool same_body(const struct store_new *a, const struct store_new *b)
{
	return a->body.ptr == b->body.ptr && a->body.len == b->body.len;
}

/* A row of messages that is narrow: what is of one target alone stands in the
 * body, which has pages of its own. */
static struct body make_body(struct delivery *d, size_t i)
{
	const struct store_new *m = d->targets[i].m;
	bool in_file = m->body.len > STORE_ROW_MAX;
	bool one = !in_file && m->prefix.len > 0 &&
		   (i + 1 == d->n || !same_body(m, d->targets[i + 1].m));

	return (struct body){
		.bytes = one ? arena_concat(d->a, m->prefix, m->body) : m->body,
		.cache = m->cache,
		.blob = (int64_t)id_new(),
		.in_file = in_file,
		.one = one};
}

static bool collect_bodies(struct delivery *d, struct fault *f)
{
	d->bodies = arena_alloc(d->a, d->n * sizeof(*d->bodies));
	d->body_of = arena_alloc(d->a, d->n * sizeof(*d->body_of));
	for (size_t i = 0; i < d->n; i++) {
		if (i == 0 ||
			!same_body(d->targets[i].m, d->targets[i - 1].m)) {
			struct body *b = &d->bodies[d->n_bodies++];

			*b = make_body(d, i);
			if (b->in_file &&
				!write_file(d->shard, b->blob, b->bytes, f))
				return false;
		}
		d->body_of[i] = d->n_bodies - 1;
	}
	return true;
}

/* ---- all targets: group by group, nobody waits ---- */

struct posted {
	struct store *store;
	struct store_target *targets;
	size_t n;
	size_t at, end; /* the group in hand: targets of one transaction */
	size_t split_to; /* before it, an account is a group */
	struct delivery d; /* of the group in hand */
	store_done_f *done;
	void *ctx;
};

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

static bool same_group(const struct posted *p, size_t i)
{
	int64_t first = p->targets[p->at].account;
	int64_t account = p->targets[i].account;

	return p->at < p->split_to ? account == first
				   : store_shard_of(p->store, account) ==
					     store_shard_of(p->store, first);
}

static void take_group(struct posted *p)
{
	for (p->end = p->at + 1; p->end < p->n && same_group(p, p->end);)
		p->end++;
	p->d = (struct delivery){
		.shard = store_shard_of(p->store, p->targets[p->at].account),
		.targets = p->targets + p->at,
		.n = p->end - p->at,
		.a = arena_new(SIZE_MAX)};
}

/* What became of the group; the next one begins behind it. */
static void settle(struct posted *p, bool ok, const struct fault *f)
{
	struct delivery *d = &p->d;
	bool alone = d->targets[d->n - 1].account == d->targets[0].account;
	char path[4096];

	for (size_t i = 0; i < d->n_bodies; i++)
		if (d->bodies[i].in_file && (!ok || !d->bodies[i].stored)) {
			store_blob_path(d->shard, d->bodies[i].blob, path,
				sizeof(path));
			unlink(path);
		}
	if (ok)
		store_unlink(&d->gone);
	arena_free(d->a);
	for (size_t i = 0; i < d->n; i++) {
		d->targets[i].ok = ok;
		d->targets[i].fault = *f;
	}
	if (ok || alone || f->class != FAULT_PERM)
		p->at = p->end;
	else /* The mailbox of one is full: the others get their mail. */
		p->split_to = p->end;
}

static bool group_work(struct db *db, void *ctx, struct fault *f)
{
	struct posted *p = ctx;

	return deliver_work(db, &p->d, f);
}

static void post_next(struct posted *p, unsigned how);

static void post_group(struct posted *p, unsigned how);

static void group_done(void *ctx, bool ok, const struct fault *f)
{
	struct posted *p = ctx;

	if (p->d.tidy && p->d.mixed_up) {
		p->d.tidy = false;
		post_group(p, POST_LATER);
		return;
	}
	settle(p, ok, f);
	post_next(p, POST_LATER);
}

static void post_group(struct posted *p, unsigned how)
{
	committer_post(p->d.shard->committer,
		how | (p->d.tidy ? POST_TIDY : 0u), group_work, p, group_done);
}

static void post_next(struct posted *p, unsigned how)
{
	struct fault f = {0};

	while (p->at < p->n) {
		take_group(p);
		p->d.tidy = may_be_tidy(&p->d);
		if (collect_bodies(&p->d, &f)) {
			post_group(p, how);
			return;
		}
		settle(p, false, &f);
	}
	p->done(p->ctx);
	free(p);
}

void store_post(struct store *s, struct store_target *targets, size_t n,
	store_done_f *done, void *ctx)
{
	struct posted *p = must_alloc(sizeof(*p));
	bool mixed = false;

	*p = (struct posted){.store = s,
		.targets = targets,
		.n = n,
		.done = done,
		.ctx = ctx};
	/* The order within one account matters: MULTIAPPEND. */
	for (size_t i = 1; i < n; i++)
		mixed |= targets[i].account != targets[0].account;
	if (mixed)
		qsort_r(targets, n, sizeof(*targets), by_shard, s);
	post_next(p, 0);
}
