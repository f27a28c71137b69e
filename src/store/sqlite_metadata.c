/* SPDX-License-Identifier: ISC */
/* Annotations of mailboxes and accounts, of the SQLite engine. */
#include "store/metadata.h"
#include "store/rules.h"
#include "store/sqlite_private.h"

struct setting {
	int64_t account, mailbox;
	const struct store_entry *v;
	size_t n;
};

static bool set_one(struct db *db, const struct setting *s,
	const struct store_entry *e, struct fault *f)
{
	if (!str_present(e->value))
		return db_run(db, f,
			"DELETE FROM metadata"
			" WHERE account=? AND mailbox=? AND entry=?",
			"iit", s->account, s->mailbox, e->name);
	return db_run(db, f, "INSERT OR REPLACE INTO metadata VALUES(?,?,?,?)",
		"iitb", s->account, s->mailbox, e->name, e->value);
}

static bool set_work(struct db *db, void *ctx, struct fault *f)
{
	const struct setting *s = ctx;
	int64_t n = 0;

	for (size_t i = 0; i < s->n; i++)
		if (!set_one(db, s, &s->v[i], f))
			return false;
	if (!db_number(db, f, &n,
		    "SELECT count(*) FROM metadata"
		    " WHERE account=? AND mailbox=?",
		    "ii", s->account, s->mailbox))
		return false;
	return n <= STORE_METADATA_MAX ||
	       fault_set(f, FAULT_PERM, 0, 0, 6, "too many annotations");
}

bool store_metadata_set(struct store *s, int64_t account, int64_t mailbox,
	const struct store_entry *v, size_t n, struct fault *f)
{
	struct setting setting = {account, mailbox, v, n};

	return committer_run(
		store_shard_of(s, account)->committer, set_work, &setting, f);
}

bool store_metadata(struct store *s, int64_t account, int64_t mailbox,
	void (*fn)(const struct store_entry *e, void *ctx), void *ctx,
	struct fault *f)
{
	struct store_shard *shard = store_shard_of(s, account);
	struct db *db = readers_get(shard->readers, f);
	int r;

	if (db == NULL)
		return false;
	sqlite3_stmt *q = db_query(db, f,
		"SELECT entry, value FROM metadata"
		" WHERE account=? AND mailbox=? ORDER BY entry",
		"ii", account, mailbox);
	while ((r = db_step(db, q, f)) > 0) {
		struct store_entry e = {db_text(q, 0), db_blob(q, 1)};

		fn(&e, ctx);
	}
	readers_put(shard->readers, db);
	return r == 0;
}
