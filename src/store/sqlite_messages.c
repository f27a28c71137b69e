/* SPDX-License-Identifier: ISC */
/* Messages of the SQLite engine: delivery, flags, copy, expunge.
 * The invariants stand at the top of sqlite.c. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/must.h"
#include "store/sqlite_private.h"
#include "sys/clock.h"

/* ---- counters: invariant 6 ---- */

static bool count(struct db *db, int64_t account, int64_t mailbox,
	int64_t modseq, int64_t exists, int64_t unseen, int64_t bytes,
	struct fault *f)
{
	return db_run(db, f,
		"UPDATE mailboxes SET modseq=?, n_exists=n_exists+?,"
		" n_unseen=n_unseen+?, bytes=bytes+?"
		" WHERE account=? AND mailbox=?",
		"iiiiii", modseq, exists, unseen, bytes, account, mailbox);
}

/* One message more: counts it and gives it its UID. */
static bool count_new(struct db *db, int64_t account, int64_t mailbox,
	int64_t modseq, bool unseen, int64_t bytes, int64_t *uid_r,
	int64_t *uidvalidity_r, struct fault *f)
{
	sqlite3_stmt *s = db_query(db, f,
		"UPDATE mailboxes SET uidnext=uidnext+1, modseq=?,"
		" n_exists=n_exists+1, n_unseen=n_unseen+?, bytes=bytes+?"
		" WHERE account=? AND mailbox=?"
		" RETURNING uidnext-1, uidvalidity",
		"iiiii", modseq, (int64_t)unseen, bytes, account, mailbox);

	if (db_step(db, s, f) <= 0)
		return fault_set(f, FAULT_TEMP, 451, 3, 0, "mailbox is gone");
	*uid_r = db_int(s, 0);
	*uidvalidity_r = db_int(s, 1);
	return db_step(db, s, f) == 0;
}

/* ---- blobs ---- */

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

static bool unref(struct db *db, struct store_shard *shard, int64_t blob,
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

/* ---- delivery ---- */

struct delivery {
	struct store_shard *shard;
	struct store_target *targets;
	size_t n;
	int64_t blob;
	bool in_file;
	bool stored; /* the blob row is there */
	struct arena *a;
	uint32_t uid;
	uint32_t uidvalidity;
};

/* Keywords as one text, blanks between; lower case is the store's. */
static struct str join(const struct strs *keywords, struct arena *a)
{
	struct buf b CLEANUP(buf_fini);

	buf_init(&b, 65536);
	for (size_t i = 0; i < keywords->n; i++) {
		if (i > 0)
			buf_putc(&b, ' ');
		buf_put(&b, keywords->v[i]);
	}
	return keywords->n > 0 ? arena_str(a, buf_str(&b)) : STR_NONE;
}

static bool insert_row(struct db *db, struct delivery *d, int64_t account,
	int64_t mailbox, const struct store_new *m, struct fault *f)
{
	int64_t uid, uidvalidity, modseq = 0;
	int64_t size = (int64_t)(m->prefix.len + m->body.len);

	if (!store_next_modseq(db, account, &modseq, f) ||
		!count_new(db, account, mailbox, modseq,
			(m->flags & FLAG_SEEN) == 0, size, &uid, &uidvalidity,
			f))
		return false;
	d->uid = (uint32_t)uid;
	d->uidvalidity = (uint32_t)uidvalidity;
	return db_run(db, f,
		"INSERT INTO messages VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?)",
		"iiiiiitiiiibb", account, mailbox, uid,
		m->msg != 0 ? m->msg : (int64_t)id_new(), modseq,
		(int64_t)m->flags, join(&m->keywords, d->a), size, m->received,
		clock_unix(), d->blob, m->prefix, m->cache);
}

/* The first row that names the blob brings it. */
static bool store_blob(
	struct db *db, struct delivery *d, struct str body, struct fault *f)
{
	if (d->stored)
		return db_run(db, f,
			"UPDATE blobs SET refs=refs+1 WHERE blob=?", "i",
			d->blob);
	d->stored = db_run(db, f, "INSERT INTO blobs VALUES(?,1,?,?)", "iib",
		d->blob, (int64_t)body.len, d->in_file ? STR_NONE : body);
	return d->stored;
}

/* Was this message delivered there before?  A retry finds it. */
static bool have_message(struct db *db, int64_t account, int64_t mailbox,
	int64_t msg, bool *have_r, struct fault *f)
{
	int64_t n = 0;

	*have_r = false;
	if (msg != 0 && !db_number(db, f, &n,
				"SELECT count(*) FROM messages"
				" WHERE account=? AND mailbox=? AND msg=?",
				"iii", account, mailbox, msg))
		return false;
	*have_r = n > 0;
	return true;
}

/* Its special use first: people rename their Junk. */
static bool find_target(struct db *db, const struct store_target *t,
	int64_t *mailbox_r, struct fault *f)
{
	*mailbox_r = 0;
	if (t->m->use != ROLE_NONE &&
		!db_number(db, f, mailbox_r,
			"SELECT mailbox FROM mailboxes"
			" WHERE account=? AND mailbox>0 AND role=?"
			" ORDER BY mailbox LIMIT 1",
			"ii", t->account, (int64_t)t->m->use))
		return false;
	return *mailbox_r > 0 ||
	       store_find_mailbox(db, t->account, t->m->mailbox, mailbox_r, f);
}

static bool deliver_one(struct db *db, struct delivery *d,
	const struct store_target *t, struct fault *f)
{
	int64_t mailbox = 0;
	bool have;

	if (!find_target(db, t, &mailbox, f))
		return false;
	if (mailbox == 0 && (!store_ensure_account(db, t->account, f) ||
				    !find_target(db, t, &mailbox, f)))
		return false;
	if (mailbox == 0 && !t->m->create)
		return fault_set(f, FAULT_PERM, 0, 0, 2, "no mailbox %.*s",
			STR_ARG(t->m->mailbox));
	if (mailbox == 0 && !store_make_mailbox(db, t->account, t->m->mailbox,
				    t->m->use, true, &mailbox, f))
		return false;
	if (!have_message(db, t->account, mailbox, t->m->msg, &have, f))
		return false;
	return have || (store_blob(db, d, t->m->body, f) &&
			       insert_row(db, d, t->account, mailbox, t->m, f));
}

static bool deliver_work(struct db *db, void *ctx, struct fault *f)
{
	struct delivery *d = ctx;

	d->stored = false;
	for (size_t i = 0; i < d->n; i++)
		if (!deliver_one(db, d, &d->targets[i], f))
			return false;
	return true;
}

/* All targets are of one shard and have the same body. */
static bool deliver_shard(struct store_shard *shard,
	struct store_target *targets, size_t n, struct delivery *d,
	struct fault *f)
{
	struct str body = targets[0].m->body;
	char path[4096];

	*d = (struct delivery){.shard = shard,
		.targets = targets,
		.n = n,
		.blob = (int64_t)id_new(),
		.in_file = body.len > STORE_ROW_MAX,
		.a = arena_new(SIZE_MAX)};
	bool ok = (!d->in_file || write_file(shard, d->blob, body, f)) &&
		  committer_run(shard->committer, deliver_work, d, f);
	if (d->in_file && (!ok || !d->stored)) {
		store_blob_path(shard, d->blob, path, sizeof(path));
		unlink(path);
	}
	arena_free(d->a);
	return ok;
}

bool store_deliver(struct store *s, int64_t account, const struct store_new *m,
	uint32_t *uid_r, uint32_t *uidvalidity_r, struct fault *f)
{
	struct store_target t = {.account = account, .m = m};
	struct delivery d;

	if (!deliver_shard(store_shard_of(s, account), &t, 1, &d, f))
		return false;
	*uid_r = d.uid;
	*uidvalidity_r = d.uidvalidity;
	return true;
}

static int by_shard(const void *x, const void *y, void *ctx)
{
	const struct store_target *a = x, *b = y;
	struct store *s = ctx;
	struct store_shard *p = store_shard_of(s, a->account);
	struct store_shard *q = store_shard_of(s, b->account);

	return p < q ? -1 : p > q;
}

void store_deliver_many(struct store *s, struct store_target *targets, size_t n)
{
	qsort_r(targets, n, sizeof(*targets), by_shard, s);
	for (size_t i = 0, end; i < n; i = end) {
		struct store_shard *shard =
			store_shard_of(s, targets[i].account);
		struct delivery d;
		struct fault f = {0};

		for (end = i + 1;
			end < n &&
			store_shard_of(s, targets[end].account) == shard;)
			end++;
		bool ok = deliver_shard(shard, targets + i, end - i, &d, &f);
		for (size_t j = i; j < end; j++) {
			targets[j].ok = ok;
			targets[j].fault = f;
		}
	}
}

/* ---- flags ---- */

struct selection {
	struct store_shard *shard;
	int64_t account;
	int64_t mailbox;
	const uint32_t *uids;
	size_t n;
	enum store_flag_op op;
	uint32_t flags;
	const struct strs *keywords;
	struct str to;
	bool move;
	uint32_t *to_r;
	uint32_t uidvalidity;
	struct strs gone;
	struct arena *a;
};

struct strs store_keywords(struct str text, struct arena *a)
{
	struct strs list = {0};
	struct str word;

	while (str_present(word = str_word(&text, " ")))
		strs_add(&list, a, word);
	return list;
}

static struct str merge(struct selection *x, struct str have)
{
	struct strs old = store_keywords(have, x->a);
	struct strs out = {0};

	if (x->op == FLAGS_SET)
		return join(x->keywords, x->a);
	for (size_t i = 0; i < old.n; i++)
		if (x->op == FLAGS_ADD || !strs_has(x->keywords, old.v[i]))
			strs_add(&out, x->a, old.v[i]);
	for (size_t i = 0; i < x->keywords->n && x->op == FLAGS_ADD; i++)
		if (!strs_has(&out, x->keywords->v[i]))
			strs_add(&out, x->a, x->keywords->v[i]);
	return join(&out, x->a);
}

static uint32_t merge_flags(const struct selection *x, uint32_t have)
{
	switch (x->op) {
	case FLAGS_SET:
		return x->flags;
	case FLAGS_ADD:
		return have | x->flags;
	case FLAGS_REMOVE:
		return have & ~x->flags;
	}
	return have;
}

static bool flag_one(struct db *db, struct selection *x, uint32_t uid,
	int64_t modseq, struct fault *f)
{
	sqlite3_stmt *s = db_query(db, f,
		"SELECT flags, keywords FROM messages"
		" WHERE account=? AND mailbox=? AND uid=?",
		"iii", x->account, x->mailbox, (int64_t)uid);
	int r = db_step(db, s, f);

	if (r <= 0)
		return r == 0;
	uint32_t have = (uint32_t)db_int(s, 0);
	struct str words = arena_str(x->a, db_text(s, 1));
	db_reset(s);
	uint32_t now = merge_flags(x, have);
	struct str keywords = merge(x, words);
	if (now == have && str_eq(words, keywords))
		return true;
	int64_t unseen = (int64_t)((now & FLAG_SEEN) == 0) -
			 (int64_t)((have & FLAG_SEEN) == 0);
	return db_run(db, f,
		       "UPDATE messages SET flags=?, keywords=?, modseq=?"
		       " WHERE account=? AND mailbox=? AND uid=?",
		       "itiiii", (int64_t)now, keywords, modseq, x->account,
		       x->mailbox, (int64_t)uid) &&
	       count(db, x->account, x->mailbox, modseq, 0, unseen, 0, f);
}

static bool flags_work(struct db *db, void *ctx, struct fault *f)
{
	struct selection *x = ctx;
	int64_t modseq = 0;

	if (!store_next_modseq(db, x->account, &modseq, f))
		return false;
	for (size_t i = 0; i < x->n; i++)
		if (!flag_one(db, x, x->uids[i], modseq, f))
			return false;
	return true;
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
	const uint32_t *uids, size_t n, enum store_flag_op op, uint32_t flags,
	const struct strs *keywords, struct fault *f)
{
	struct selection x = {.account = account,
		.mailbox = mailbox,
		.uids = uids,
		.n = n,
		.op = op,
		.flags = flags,
		.keywords = keywords};

	return run(s, &x, flags_work, f);
}

/* ---- copy, move, expunge ---- */

bool store_drop(struct db *db, struct store_shard *shard, int64_t account,
	int64_t mailbox, int64_t uid, int64_t modseq, struct arena *a,
	struct strs *gone, struct fault *f)
{
	sqlite3_stmt *s = db_query(db, f,
		"SELECT flags, size, blob FROM messages"
		" WHERE account=? AND mailbox=? AND uid=?",
		"iii", account, mailbox, uid);
	int r = db_step(db, s, f);

	if (r <= 0)
		return r == 0;
	bool unseen = (db_int(s, 0) & FLAG_SEEN) == 0;
	int64_t size = db_int(s, 1), blob = db_int(s, 2);
	db_reset(s);
	return db_run(db, f,
		       "DELETE FROM messages"
		       " WHERE account=? AND mailbox=? AND uid=?",
		       "iii", account, mailbox, uid) &&
	       db_run(db, f, "INSERT INTO vanished VALUES(?,?,?,?)", "iiii",
		       account, mailbox, modseq, uid) &&
	       count(db, account, mailbox, modseq, -1, -(int64_t)unseen, -size,
		       f) &&
	       unref(db, shard, blob, a, gone, f);
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
		if (!store_drop(
			    db, shard, account, mailbox, uid, 0, a, gone, f))
			return false;
	}
}

static bool copy_one(struct db *db, int64_t account, int64_t from, int64_t uid,
	int64_t to, int64_t modseq, int64_t *uid_r, int64_t *uidvalidity_r,
	struct fault *f)
{
	sqlite3_stmt *s = db_query(db, f,
		"SELECT flags, size, blob FROM messages"
		" WHERE account=? AND mailbox=? AND uid=?",
		"iii", account, from, uid);
	int r = db_step(db, s, f);

	*uid_r = 0;
	if (r <= 0)
		return r == 0;
	bool unseen = (db_int(s, 0) & FLAG_SEEN) == 0;
	int64_t size = db_int(s, 1), blob = db_int(s, 2);
	db_reset(s);
	return count_new(db, account, to, modseq, unseen, size, uid_r,
		       uidvalidity_r, f) &&
	       db_run(db, f,
		       "INSERT INTO messages SELECT account, ?, ?, ?, ?, flags,"
		       " keywords, size, received, ?, blob, prefix, cache"
		       " FROM messages WHERE account=? AND mailbox=? AND uid=?",
		       "iiiiiiii", to, *uid_r, (int64_t)id_new(), modseq,
		       clock_unix(), account, from, uid) &&
	       db_run(db, f, "UPDATE blobs SET refs=refs+1 WHERE blob=?", "i",
		       blob);
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
	return true;
}

bool store_copy(struct store *s, int64_t account, int64_t mailbox,
	const uint32_t *uids, size_t n, struct str to, bool move,
	uint32_t *to_r, uint32_t *uidvalidity_r, struct fault *f)
{
	struct selection x = {.account = account,
		.mailbox = mailbox,
		.uids = uids,
		.n = n,
		.to = to,
		.move = move,
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
		if (!store_drop(db, x->shard, x->account, x->mailbox,
			    x->uids[i], modseq, x->a, &x->gone, f))
			return false;
	return true;
}

bool store_expunge(struct store *s, int64_t account, int64_t mailbox,
	const uint32_t *uids, size_t n, struct fault *f)
{
	struct selection x = {
		.account = account, .mailbox = mailbox, .uids = uids, .n = n};

	return n == 0 || run(s, &x, expunge_work, f);
}
