/* SPDX-License-Identifier: ISC */
/* What was expunged and can be brought back, of the SQLite engine. */
#include <stdio.h>
#include <stdlib.h>

#include "store/sqlite_private.h"
#include "store/undelete.h"
#include "sys/clock.h"

enum { PURGE_AT_ONCE = 200 };

bool store_keep(struct db *db, const struct store_shard *shard, int64_t account,
	int64_t mailbox, int64_t uid, struct fault *f)
{
	if (shard->keep_removed_s <= 0)
		return true;
	return db_run(db, f,
		       "UPDATE blobs SET refs=refs+1 WHERE blob="
		       "(SELECT blob FROM messages"
		       " WHERE account=? AND mailbox=? AND uid=?)",
		       "iii", account, mailbox, uid) &&
	       db_run(db, f,
		       "INSERT INTO removed SELECT account, ?, mailbox, uid,"
		       " flags, keywords, size, received, savedate, blob, "
		       "prefix"
		       " FROM messages WHERE account=? AND mailbox=? AND uid=?",
		       "iiii", clock_unix(), account, mailbox, uid);
}

bool store_purge(struct db *db, struct store_shard *shard, int64_t account,
	struct arena *a, struct strs *gone, struct fault *f)
{
	int64_t limit = clock_unix() - shard->keep_removed_s;

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
	uint32_t flags = (uint32_t)db_int(q, 3) & ~(uint32_t)FLAG_DELETED;
	int64_t size = db_int(q, 4), to = 0, modseq = 0, fresh, validity;

	db_reset(q);
	return target_of(db, account, mailbox, &to, f) &&
	       store_next_modseq(db, account, &modseq, f) &&
	       store_count_new(db, account, to, modseq, flags, size, &fresh,
		       &validity, f) &&
	       db_run(db, f,
		       "INSERT INTO messages SELECT account, ?, ?, ?, ?, ?,"
		       " keywords, size, received, ?, blob, prefix FROM removed"
		       " WHERE account=? AND at=? AND mailbox=? AND uid=?",
		       "iiiiiiiiii", to, fresh, modseq, modseq, (int64_t)flags,
		       clock_unix(), account, at, mailbox, uid) &&
	       db_run(db, f,
		       "DELETE FROM removed"
		       " WHERE account=? AND at=? AND mailbox=? AND uid=?",
		       "iiii", account, at, mailbox, uid);
}

static bool bring_all(struct db *db, int64_t account, int64_t since,
	uint64_t *n_r, struct fault *f)
{
	for (*n_r = 0;; ++*n_r) {
		sqlite3_stmt *q = db_query(db, f,
			"SELECT at, mailbox, uid, flags, size FROM removed"
			" WHERE account=? AND at>=? ORDER BY at, mailbox, uid"
			" LIMIT 1",
			"ii", account, since);
		int r = db_step(db, q, f);

		if (r <= 0)
			return r == 0;
		if (!bring_back(db, account, q, f))
			return false;
	}
}

bool store_undelete(const char *dir, int64_t account, int64_t since,
	uint64_t *n_r, struct fault *f)
{
	struct buf text CLEANUP(buf_fini);
	char path[4096];
	uint64_t shards;
	struct fault ignored;

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
	bool ok = db_exec(db, "BEGIN IMMEDIATE", f) &&
		  bring_all(db, account, since, n_r, f) &&
		  db_exec(db, "COMMIT", f);
	if (!ok)
		db_exec(db, "ROLLBACK", &ignored);
	db_close(db);
	return ok;
}
