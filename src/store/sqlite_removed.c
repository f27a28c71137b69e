/* SPDX-License-Identifier: ISC */
/* What was expunged and can be brought back, of the SQLite engine. */
#include <stdio.h>
#include <stdlib.h>

#include "store/sqlite_private.h"
#include "store/undelete.h"
#include "sys/clock.h"

enum { PURGE_AT_ONCE = 200, BACK_AT_ONCE = 1000 };

bool store_purge(struct db *db, struct store_shard *shard, int64_t account,
	struct arena *a, struct strs *gone, struct fault *f)
{
	int64_t limit = clock_unix() - shard->settings.keep_removed_s;

	for (size_t i = 0; i < PURGE_AT_ONCE; i++) {
		int64_t blob = 0;
		sqlite3_stmt *q = db_query(db, f,
			"DELETE FROM removed WHERE (account, at, mailbox, uid)="
			"(SELECT account, at, mailbox, uid FROM removed"
			" WHERE account=? AND at<=? LIMIT 1) RETURNING blob",
			"ii", account, limit);
		int r = db_step(db, q, f);

		if (r > 0) {
			blob = db_int(q, 0);
			r = db_step(db, q, f) == 0 ? 1 : -1;
		}
		if (r <= 0)
			return r == 0;
		if (!store_unref(db, shard, blob, a, gone, f))
			return false;
	}
	return true;
}

/* ---- bringing back ---- */

/* Its mailbox, or the INBOX where that is gone. */
static bool target_of(struct db *db, int64_t account, int64_t mailbox,
	int64_t *to_r, struct fault *f)
{
	*to_r = 0;
	return db_number(db, f, to_r,
		       "SELECT mailbox FROM mailboxes"
		       " WHERE account=? AND mailbox=?",
		       "ii", account, mailbox) &&
	       (*to_r != 0 ||
		       store_find_mailbox(db, account, STR("INBOX"), to_r, f));
}

static bool bring_back(
	struct db *db, int64_t account, sqlite3_stmt *q, struct fault *f)
{
	int64_t at = db_int(q, 0), mailbox = db_int(q, 1), uid = db_int(q, 2);
	struct store_record m = {
		.flags = (uint32_t)db_int(q, 3) & ~(uint32_t)FLAG_DELETED,
		.keywords = db_text(q, 4),
		.size = db_int(q, 5),
		.received = db_int(q, 6),
		.saved = clock_unix(),
		.blob = db_int(q, 7),
		.prefix = db_blob(q, 8)};
	int64_t to = 0, modseq = 0, fresh, validity;
	bool ok = target_of(db, account, mailbox, &to, f) &&
		  store_next_modseq(db, account, &modseq, f) &&
		  store_count_new(db, account, to, modseq, m.flags, m.size,
			  &fresh, &validity, f) &&
		  store_insert(db, account, to, fresh, modseq, &m, f);

	db_reset(q);
	return ok &&
	       db_run(db, f,
		       "DELETE FROM removed"
		       " WHERE account=? AND at=? AND mailbox=? AND uid=?",
		       "iiii", account, at, mailbox, uid);
}

/* Some of them; *more_r: there may be others. */
static bool bring_some(struct db *db, int64_t account, int64_t since,
	uint64_t *n, bool *more_r, struct fault *f)
{
	*more_r = true;
	for (size_t i = 0; i < BACK_AT_ONCE; i++, ++*n) {
		sqlite3_stmt *q = db_query(db, f,
			"SELECT at, mailbox, uid, flags, keywords, size,"
			" received, blob, prefix FROM removed"
			" WHERE account=? AND at>=? ORDER BY at, mailbox, uid"
			" LIMIT 1",
			"ii", account, since);
		int r = db_step(db, q, f);

		*more_r = r > 0;
		if (r <= 0)
			return r == 0;
		if (!bring_back(db, account, q, f))
			return false;
	}
	return true;
}

/* What still stands in a deleted mailbox (invariant 11) is removed, too. */
static bool take_deleted(struct db *db, int64_t account, struct fault *f)
{
#define OF_DELETED                                                             \
	" WHERE account=? AND mailbox IN"                                      \
	" (SELECT mailbox FROM deleted_mailboxes WHERE account=?)"
	return db_run(db, f,
		       "INSERT INTO removed SELECT account, ?, mailbox, uid,"
		       " flags, keywords, size, received, savedate, blob,"
		       " prefix FROM messages" OF_DELETED,
		       "iii", clock_unix(), account, account) &&
	       db_run(db, f, "DELETE FROM messages" OF_DELETED, "ii", account,
		       account) &&
	       db_run(db, f, "DELETE FROM vanished" OF_DELETED, "ii", account,
		       account) &&
	       db_run(db, f, "DELETE FROM deleted_mailboxes WHERE account=?",
		       "i", account);
#undef OF_DELETED
}

/* Each part is a transaction: the server waits for none of them long. */
static bool bring_part(struct db *db, int64_t account, int64_t since,
	uint64_t *n_r, bool *more_r, struct fault *f)
{
	uint64_t n = *n_r;
	struct fault ignored;
	bool ok = db_exec(db, "BEGIN IMMEDIATE", f) &&
		  take_deleted(db, account, f) &&
		  bring_some(db, account, since, &n, more_r, f) &&
		  db_exec(db, "COMMIT", f);

	if (ok)
		*n_r = n;
	else
		db_exec(db, "ROLLBACK", &ignored);
	return ok;
}

bool store_undelete(const char *dir, int64_t account, int64_t since,
	uint64_t *n_r, struct fault *f)
{
	struct buf text CLEANUP(buf_fini);
	char path[4096];
	uint64_t shards;

	buf_init(&text, 4096);
	snprintf(path, sizeof(path), "%s/shards", dir);
	if (!file_read(path, 64, &text, f))
		return false;
	if (!str_u64(str_trim(buf_str(&text)), &shards) || shards == 0)
		return fault_set(f, FAULT_TEMP, 0, 3, 0,
			"%s: not a number of shards", path);
	snprintf(path, sizeof(path), "%s/mail.%llu.db", dir,
		(unsigned long long)((uint64_t)account % shards));
	struct db *db = db_open(path, DB_WRITE, f);
	if (db == NULL)
		return false;
	bool ok = true, more = true;
	for (*n_r = 0; ok && more;)
		ok = bring_part(db, account, since, n_r, &more, f);
	db_close(db);
	return ok;
}
