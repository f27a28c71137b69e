/* SPDX-License-Identifier: ISC */
/* Rights of others, of the SQLite engine. */
#include "store/acl.h"
#include "store/rules.h"
#include "store/sqlite_private.h"

bool store_acls(struct store *s, int64_t account, int64_t mailbox,
	struct arena *a, struct store_acl **v_r, size_t *n_r, struct fault *f)
{
	struct store_shard *shard = store_shard_of(s, account);
	struct db *db = readers_get(shard->readers, f);
	size_t cap = 0;
	int r;

	*v_r = NULL;
	*n_r = 0;
	if (db == NULL)
		return false;
	sqlite3_stmt *q = db_query(db, f,
		"SELECT mailbox, grantee, name, rights FROM acl"
		" WHERE account=?1 AND mailbox>=?2 AND (?2=0 OR mailbox=?2)"
		" ORDER BY mailbox, name",
		"ii", account, mailbox);
	while ((r = db_step(db, q, f)) > 0) {
		*v_r = arena_grown(a, *v_r, *n_r, &cap, sizeof(**v_r));
		(*v_r)[(*n_r)++] = (struct store_acl){.mailbox = db_int(q, 0),
			.grantee = db_int(q, 1),
			.name = arena_str(a, db_text(q, 2)),
			.rights = (unsigned)db_int(q, 3) & RIGHTS_ALL};
	}
	readers_put(shard->readers, db);
	return r == 0;
}

struct setting {
	int64_t account;
	const struct store_acl *acl;
};

static bool put(struct db *db, int64_t account, const struct store_acl *acl,
	struct fault *f)
{
	int64_t n = 0;

	if (!db_run(db, f, "INSERT OR REPLACE INTO acl VALUES(?,?,?,?,?)",
		    "iiiti", account, acl->mailbox, acl->grantee, acl->name,
		    (int64_t)acl->rights) ||
		!db_number(db, f, &n,
			"SELECT count(*) FROM acl WHERE account=? AND "
			"mailbox=?",
			"ii", account, acl->mailbox))
		return false;
	return n <= STORE_ACL_MAX || fault_set(f, FAULT_PERM, 0, 0, 5,
					     "too many entries in the list");
}

static bool set_work(struct db *db, void *ctx, struct fault *f)
{
	const struct setting *x = ctx;
	int64_t modseq, there = 0;

	if (!db_number(db, f, &there,
		    "SELECT count(*) FROM mailboxes"
		    " WHERE account=? AND mailbox=? AND mailbox>0",
		    "ii", x->account, x->acl->mailbox))
		return false;
	if (there == 0)
		return fault_set(f, FAULT_PERM, 0, 0, 2, "the mailbox is gone");
	return store_next_modseq(db, x->account, &modseq, f) &&
	       (x->acl->rights != 0
			       ? put(db, x->account, x->acl, f)
			       : db_run(db, f,
					 "DELETE FROM acl WHERE account=?"
					 " AND mailbox=? AND grantee=?",
					 "iii", x->account, x->acl->mailbox,
					 x->acl->grantee));
}

bool store_acl_set(struct store *s, int64_t account,
	const struct store_acl *acl, struct fault *f)
{
	struct setting x = {account, acl};

	return committer_run(
		store_shard_of(s, account)->committer, set_work, &x, f);
}

bool store_inherit_acl(struct db *db, int64_t account, int64_t from, int64_t to,
	struct fault *f)
{
	return db_run(db, f,
		"INSERT INTO acl SELECT account, ?, grantee, name, rights"
		" FROM acl WHERE account=? AND mailbox=?",
		"iii", to, account, from);
}

/* ---- notes beside the grantee ---- */

bool store_sharers(struct store *s, int64_t grantee, struct arena *a,
	struct strs *owners_r, struct fault *f)
{
	struct store_shard *shard = store_shard_of(s, grantee);
	struct db *db = readers_get(shard->readers, f);
	int r;

	*owners_r = (struct strs){0};
	if (db == NULL)
		return false;
	sqlite3_stmt *q = db_query(db, f,
		"SELECT owner FROM sharers WHERE account=? ORDER BY owner", "i",
		grantee);
	while ((r = db_step(db, q, f)) > 0)
		strs_add(owners_r, a, arena_str(a, db_text(q, 0)));
	readers_put(shard->readers, db);
	return r == 0;
}

struct noting {
	int64_t grantee;
	struct str owner;
	bool shares;
};

static bool note_work(struct db *db, void *ctx, struct fault *f)
{
	const struct noting *x = ctx;

	return x->shares ? db_run(db, f,
				   "INSERT OR IGNORE INTO sharers VALUES(?,?)",
				   "it", x->grantee, x->owner)
			 : db_run(db, f,
				   "DELETE FROM sharers"
				   " WHERE account=? AND owner=?",
				   "it", x->grantee, x->owner);
}

bool store_note_sharer(struct store *s, int64_t grantee, struct str owner,
	bool shares, struct fault *f)
{
	struct noting x = {grantee, owner, shares};

	return committer_run(
		store_shard_of(s, grantee)->committer, note_work, &x, f);
}
