/* SPDX-License-Identifier: ISC */
/* Mailboxes of the SQLite engine: their rows.
 * The invariants stand at the top of sqlite.c. */
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "store/rules.h"
#include "store/sqlite_private.h"
#include "sys/clock.h"

/* ---- mailboxes, inside of a transaction ---- */

static bool insert_mailbox(struct db *db, int64_t account, int64_t mailbox,
	struct str name, enum store_role role, int64_t uidvalidity,
	int64_t modseq, struct fault *f)
{
	return db_run(db, f,
		"INSERT INTO mailboxes VALUES(?,?,?,?,?,1,?,0,0,0,0,0,0,1)",
		"iitiii", account, mailbox, name, (int64_t)role, uidvalidity,
		modseq);
}

/* Two statements: one with RETURNING makes a table of its own each time. */
static bool count_on(struct db *db, int64_t account, const char *read,
	const char *write, int64_t least, int64_t *value_r, struct fault *f)
{
	int64_t have = -1;

	if (!db_number(db, f, &have, read, "i", account))
		return false;
	if (have < 0)
		return fault_set(f, FAULT_TEMP, 451, 3, 0, "account is gone");
	*value_r = have + 1 > least ? have + 1 : least;
	return db_run(db, f, write, "ii", *value_r, account);
}

bool store_next_modseq(
	struct db *db, int64_t account, int64_t *modseq_r, struct fault *f)
{
	return count_on(db, account,
		"SELECT modseq FROM mailboxes WHERE account=? AND mailbox=0",
		"UPDATE mailboxes SET modseq=? WHERE account=? AND mailbox=0",
		0, modseq_r, f);
}

/* Invariant 7; at least the time, so that a restored backup moves on. */
bool store_next_uidvalidity(
	struct db *db, int64_t account, int64_t *v_r, struct fault *f)
{
	return count_on(db, account,
		"SELECT uidnext FROM mailboxes WHERE account=? AND mailbox=0",
		"UPDATE mailboxes SET uidnext=? WHERE account=? AND mailbox=0",
		clock_unix(), v_r, f);
}

static bool next_mailbox(
	struct db *db, int64_t account, int64_t *id_r, struct fault *f)
{
	return count_on(db, account,
		"SELECT n_exists FROM mailboxes WHERE account=? AND mailbox=0",
		"UPDATE mailboxes SET n_exists=? WHERE account=? AND mailbox=0",
		0, id_r, f);
}

bool store_make_mailbox(struct db *db, int64_t account, struct str name,
	enum store_role role, int64_t *mailbox_r, struct fault *f)
{
	int64_t uidvalidity = 0, modseq = 0;

	*mailbox_r = 0;
	return store_next_uidvalidity(db, account, &uidvalidity, f) &&
	       next_mailbox(db, account, mailbox_r, f) &&
	       store_next_modseq(db, account, &modseq, f) &&
	       insert_mailbox(db, account, *mailbox_r, name, role, uidvalidity,
		       modseq, f);
}

bool store_subscribe(
	struct db *db, int64_t account, struct str name, struct fault *f)
{
	return db_run(db, f, "INSERT OR IGNORE INTO subscriptions VALUES(?,?)",
		"it", account, name);
}

bool store_ensure_account(struct db *db, int64_t account, struct fault *f)
{
	int64_t n = 0, id;

	if (!db_number(db, f, &n,
		    "SELECT count(*) FROM mailboxes"
		    " WHERE account=? AND mailbox=0",
		    "i", account))
		return false;
	if (n > 0)
		return true;
	if (!insert_mailbox(db, account, 0, STR(""), ROLE_NONE, 0, 1, f))
		return false;
	for (size_t i = 0; i < STORE_BORN; i++)
		if (!store_make_mailbox(db, account,
			    str_from(store_born[i].name), store_born[i].role,
			    &id, f) ||
			!store_subscribe(
				db, account, str_from(store_born[i].name), f))
			return false;
	return true;
}

bool store_find_mailbox(struct db *db, int64_t account, struct str name,
	int64_t *mailbox_r, struct fault *f)
{
	*mailbox_r = 0;
	return db_number(db, f, mailbox_r,
		"SELECT mailbox FROM mailboxes"
		" WHERE account=? AND mailbox>0 AND name=?",
		"it", account, name);
}

struct ensure {
	int64_t account;
};

static bool ensure_work(struct db *db, void *ctx, struct fault *f)
{
	return store_ensure_account(db, ((struct ensure *)ctx)->account, f);
}

#define COLUMNS                                                                \
	"mailbox, name, role, EXISTS(SELECT 1 FROM subscriptions s"            \
	" WHERE s.account=mailboxes.account AND s.name=mailboxes.name),"       \
	" uidvalidity, uidnext, modseq,"                                       \
	" n_exists, n_unseen, n_deleted, bytes, seen_below, n_below,"          \
	" told_below"

/* The name leans on the statement. */
static struct store_mailbox mailbox_of(sqlite3_stmt *s)
{
	return (struct store_mailbox){.id = db_int(s, 0),
		.name = db_text(s, 1),
		.role = (enum store_role)db_int(s, 2),
		.subscribed = db_int(s, 3) != 0,
		.uidvalidity = (uint32_t)db_int(s, 4),
		.uidnext = (uint32_t)db_int(s, 5),
		.modseq = (uint64_t)db_int(s, 6),
		.n_exists = (uint64_t)db_int(s, 7),
		.n_unseen = (uint64_t)db_int(s, 8),
		.n_deleted = (uint64_t)db_int(s, 9),
		.bytes = (uint64_t)db_int(s, 10),
		.seen_below = (uint32_t)db_int(s, 11),
		.n_below = (uint64_t)db_int(s, 12),
		.told_below = (uint32_t)db_int(s, 13)};
}

bool store_read_mailboxes(struct db *db, int64_t account, struct arena *a,
	struct store_mailbox **v_r, size_t *n_r, struct fault *f)
{
	sqlite3_stmt *s = db_query(db, f,
		"SELECT " COLUMNS " FROM mailboxes"
		" WHERE account=? AND mailbox>0 ORDER BY name",
		"i", account);
	size_t cap = 0;
	int r;

	*n_r = 0;
	*v_r = NULL;
	while ((r = db_step(db, s, f)) > 0) {
		*v_r = arena_grown(a, *v_r, *n_r, &cap, sizeof(**v_r));
		struct store_mailbox *box = &(*v_r)[(*n_r)++];
		*box = mailbox_of(s);
		box->name = arena_str(a, box->name);
	}
	return r == 0;
}

static bool read_subscriptions(struct db *db, int64_t account, struct arena *a,
	struct strs *names_r, struct fault *f)
{
	sqlite3_stmt *q = db_query(db, f,
		"SELECT name FROM subscriptions WHERE account=? ORDER BY name",
		"i", account);
	int r;

	*names_r = (struct strs){0};
	while ((r = db_step(db, q, f)) > 0)
		strs_add(names_r, a, arena_str(a, db_text(q, 0)));
	return r == 0;
}

static bool read_by_id(struct db *db, int64_t account, int64_t mailbox,
	struct store_mailbox *box_r, struct fault *f)
{
	sqlite3_stmt *q = db_query(db, f,
		"SELECT " COLUMNS " FROM mailboxes"
		" WHERE account=? AND mailbox=?",
		"ii", account, mailbox);
	int r = db_step(db, q, f);

	if (r == 0)
		fault_set(f, FAULT_PERM, 0, 0, 2, "the mailbox is gone");
	if (r <= 0)
		return false;
	*box_r = mailbox_of(q);
	box_r->name = STR_NONE;
	db_reset(q);
	return true;
}

static bool read_by_name(struct db *db, int64_t account, struct str name,
	struct store_mailbox *box_r, struct fault *f)
{
	sqlite3_stmt *s = db_query(db, f,
		"SELECT " COLUMNS " FROM mailboxes"
		" WHERE account=? AND mailbox>0 AND name=?",
		"it", account, name);
	int r = db_step(db, s, f);

	*box_r = (struct store_mailbox){0};
	if (r > 0) {
		*box_r = mailbox_of(s);
		box_r->name = name;
		db_reset(s);
	}
	return r >= 0;
}

bool store_read_together(struct db *db, int64_t account,
	struct store_mailbox *all_r, struct fault *f)
{
	sqlite3_stmt *q = db_query(db, f,
		"SELECT total(bytes), total(n_exists) FROM mailboxes"
		" WHERE account=? AND mailbox>0",
		"i", account);

	*all_r = (struct store_mailbox){0};
	if (db_step(db, q, f) <= 0)
		return false;
	all_r->bytes = (uint64_t)db_int(q, 0);
	all_r->n_exists = (uint64_t)db_int(q, 1);
	db_reset(q);
	return true;
}

static bool read_which(struct db *db, int64_t account,
	const struct store_which *which, struct store_mailbox *box_r,
	struct fault *f)
{
	if (which->id != 0)
		return read_by_id(db, account, which->id, box_r, f);
	return str_present(which->name)
		       ? read_by_name(db, account, which->name, box_r, f)
		       : store_read_together(db, account, box_r, f);
}

static bool count_deleted(struct db *db, int64_t account,
	struct store_mailbox *box, struct fault *f)
{
	int64_t bytes = 0;
	bool ok = db_number(db, f, &bytes,
		"SELECT total(size) FROM messages"
		" WHERE account=? AND mailbox=? AND flags & 8",
		"ii", account, box->id);

	box->deleted_bytes = (uint64_t)bytes;
	return ok;
}

/* *root_r: how many root rows the account has. */
static bool look(struct store_shard *shard, int64_t account,
	const struct store_which *which, struct store_mailbox *box_r,
	int64_t *root_r, struct fault *f)
{
	struct db *db = readers_get(shard->readers, f);

	if (db == NULL)
		return false;
	bool ok = read_which(db, account, which, box_r, f) &&
		  (box_r->id == 0 || (which->also & STORE_DELETED_BYTES) == 0 ||
			  count_deleted(db, account, box_r, f)) &&
		  (box_r->id != 0 || !str_present(which->name) ||
			  db_number(db, f, root_r,
				  "SELECT count(*) FROM mailboxes"
				  " WHERE account=? AND mailbox=0",
				  "i", account));
	readers_put(shard->readers, db);
	return ok;
}

bool store_mailbox(struct store *s, int64_t account, struct store_which which,
	struct store_mailbox *box_r, struct fault *f)
{
	struct store_shard *shard = store_shard_of(s, account);
	bool may_be_new = which.id == 0 && str_present(which.name) &&
			  shard->committer != NULL;
	struct ensure e = {account};

	for (int round = 0; round < 2; round++) {
		int64_t root = 0;

		if (!look(shard, account, &which, box_r, &root, f))
			return false;
		if (box_r->id != 0 || !may_be_new)
			break;
		/* Where there is a root row, it may have come between the two
		 * questions: the first is asked again. */
		if (root == 0 &&
			!committer_run(shard->committer, ensure_work, &e, f))
			return false;
	}
	return box_r->id == 0 || (which.also & STORE_FIRST_UNSEEN) == 0 ||
	       store_find_unseen(shard, account, box_r, f);
}

bool store_mailboxes(struct store *s, int64_t account, struct arena *a,
	struct store_mailbox **v_r, size_t *n_r, struct strs *subscribed_r,
	struct fault *f)
{
	struct store_shard *shard = store_shard_of(s, account);
	struct ensure e = {account};

	for (int round = 0; round < 2; round++) {
		struct db *db = readers_get(shard->readers, f);

		if (db == NULL)
			return false;
		bool ok =
			store_read_mailboxes(db, account, a, v_r, n_r, f) &&
			(subscribed_r == NULL || read_subscriptions(db, account,
							 a, subscribed_r, f));
		readers_put(shard->readers, db);
		if (!ok || *n_r > 0 || shard->committer == NULL)
			return ok;
		if (!committer_run(shard->committer, ensure_work, &e, f))
			return false;
	}
	return true;
}
