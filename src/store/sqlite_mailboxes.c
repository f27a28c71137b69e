/* SPDX-License-Identifier: ISC */
/* Mailboxes of the SQLite engine: their rows, and changes of them.
 * The invariants stand at the top of sqlite.c. */
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
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

static bool number_back(
	struct db *db, sqlite3_stmt *s, int64_t *value_r, struct fault *f)
{
	if (db_step(db, s, f) <= 0)
		return fault_set(f, FAULT_TEMP, 451, 3, 0, "account is gone");
	*value_r = db_int(s, 0);
	return db_step(db, s, f) == 0;
}

bool store_next_modseq(
	struct db *db, int64_t account, int64_t *modseq_r, struct fault *f)
{
	return number_back(db,
		db_query(db, f,
			"UPDATE mailboxes SET modseq=modseq+1"
			" WHERE account=? AND mailbox=0 RETURNING modseq",
			"i", account),
		modseq_r, f);
}

/* Invariant 7; at least the time, so that a restored backup moves on. */
bool store_next_uidvalidity(
	struct db *db, int64_t account, int64_t *v_r, struct fault *f)
{
	return number_back(db,
		db_query(db, f,
			"UPDATE mailboxes SET uidnext=max(uidnext+1, ?)"
			" WHERE account=? AND mailbox=0 RETURNING uidnext",
			"ii", clock_unix(), account),
		v_r, f);
}

static bool next_mailbox(
	struct db *db, int64_t account, int64_t *id_r, struct fault *f)
{
	return number_back(db,
		db_query(db, f,
			"UPDATE mailboxes SET n_exists=n_exists+1"
			" WHERE account=? AND mailbox=0 RETURNING n_exists",
			"i", account),
		id_r, f);
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
	static const struct {
		const char *name;
		enum store_role role;
	} born[] = {{"INBOX", ROLE_NONE}, {"Drafts", ROLE_DRAFTS},
		{"Sent", ROLE_SENT}, {"Junk", ROLE_JUNK}, {"Trash", ROLE_TRASH},
		{"Archive", ROLE_ARCHIVE}};
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
	for (size_t i = 0; i < ARRAY_LEN(born); i++)
		if (!store_make_mailbox(db, account, str_from(born[i].name),
			    born[i].role, &id, f) ||
			!store_subscribe(
				db, account, str_from(born[i].name), f))
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

static bool read_mailboxes(struct db *db, int64_t account, struct arena *a,
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

bool store_subscriptions(struct store *s, int64_t account, struct arena *a,
	struct strs *names_r, struct fault *f)
{
	struct store_shard *shard = store_shard_of(s, account);
	struct db *db = readers_get(shard->readers, f);
	int r;

	*names_r = (struct strs){0};
	if (db == NULL)
		return false;
	sqlite3_stmt *q = db_query(db, f,
		"SELECT name FROM subscriptions WHERE account=? ORDER BY name",
		"i", account);
	while ((r = db_step(db, q, f)) > 0)
		strs_add(names_r, a, arena_str(a, db_text(q, 0)));
	readers_put(shard->readers, db);
	return r == 0;
}

bool store_mailbox(struct store *s, int64_t account, int64_t mailbox,
	struct store_mailbox *box_r, struct fault *f)
{
	struct store_shard *shard = store_shard_of(s, account);
	struct db *db = readers_get(shard->readers, f);

	if (db == NULL)
		return false;
	sqlite3_stmt *q = db_query(db, f,
		"SELECT " COLUMNS " FROM mailboxes"
		" WHERE account=? AND mailbox=?",
		"ii", account, mailbox);
	int r = db_step(db, q, f);
	if (r > 0) {
		*box_r = mailbox_of(q);
		box_r->name = STR_NONE;
		db_reset(q);
	}
	readers_put(shard->readers, db);
	if (r == 0)
		fault_set(f, FAULT_PERM, 0, 0, 2, "the mailbox is gone");
	return r > 0;
}

static bool read_named(struct db *db, int64_t account, struct str name,
	struct store_mailbox *box_r, bool *born_r, struct fault *f)
{
	sqlite3_stmt *s = db_query(db, f,
		"SELECT " COLUMNS " FROM mailboxes"
		" WHERE account=? AND mailbox>0 AND name=?",
		"it", account, name);
	int r = db_step(db, s, f);
	int64_t root = 0;

	*born_r = true;
	*box_r = (struct store_mailbox){0};
	if (r > 0) {
		*box_r = mailbox_of(s);
		box_r->name = name;
		db_reset(s);
		return true;
	}
	bool ok = r == 0 && db_number(db, f, &root,
				    "SELECT count(*) FROM mailboxes"
				    " WHERE account=? AND mailbox=0",
				    "i", account);
	*born_r = root > 0;
	return ok;
}

bool store_mailbox_named(struct store *s, int64_t account, struct str name,
	struct store_mailbox *box_r, struct fault *f)
{
	struct store_shard *shard = store_shard_of(s, account);
	struct ensure e = {account};
	bool born;

	for (int round = 0; round < 2; round++) {
		struct db *db = readers_get(shard->readers, f);

		if (db == NULL)
			return false;
		bool ok = read_named(db, account, name, box_r, &born, f);
		readers_put(shard->readers, db);
		if (!ok || born || shard->committer == NULL)
			return ok;
		if (!committer_run(shard->committer, ensure_work, &e, f))
			return false;
	}
	return true;
}

bool store_mailboxes(struct store *s, int64_t account, struct arena *a,
	struct store_mailbox **v_r, size_t *n_r, struct fault *f)
{
	struct store_shard *shard = store_shard_of(s, account);
	struct ensure e = {account};

	for (int round = 0; round < 2; round++) {
		struct db *db = readers_get(shard->readers, f);

		if (db == NULL)
			return false;
		bool ok = read_mailboxes(db, account, a, v_r, n_r, f);
		readers_put(shard->readers, db);
		if (!ok || *n_r > 0 || shard->committer == NULL)
			return ok;
		if (!committer_run(shard->committer, ensure_work, &e, f))
			return false;
	}
	return true;
}

/* ---- changes of mailboxes ---- */

enum {
	NAMES_ONLY_MAX = 1000, /* subscribed, and no mailbox is there */
	MOVED_AT_ONCE = 1000
};

struct change {
	int64_t account;
	enum store_change kind;
	struct str name;
	struct str to;
	enum store_role role;
	int64_t inbox; /* its messages are to be moved */
	struct arena *a;
};

static bool no_such(struct str name, struct fault *f)
{
	return fault_set(
		f, FAULT_PERM, 0, 0, 2, "no mailbox %.*s", STR_ARG(name));
}

static bool there_is(struct str name, struct fault *f)
{
	return fault_set(f, FAULT_PERM, 0, 0, 1, "mailbox %.*s exists already",
		STR_ARG(name));
}

static bool role_is_free(struct db *db, const struct change *c, struct fault *f)
{
	int64_t n = 0;

	if (c->role == ROLE_NONE)
		return true;
	if (!db_number(db, f, &n,
		    "SELECT count(*) FROM mailboxes"
		    " WHERE account=? AND mailbox>0 AND role=?",
		    "ii", c->account, (int64_t)c->role))
		return false;
	return n == 0 || fault_set(f, FAULT_PERM, 0, 0, 4,
				 "another mailbox has that special use");
}

/* RFC 9051 6.3.4: a/b/c makes a and a/b, too. */
static bool create_path(
	struct db *db, struct change *c, struct str name, struct fault *f)
{
	int64_t id = 0, above = 0;

	for (size_t i = 1; i <= name.len; i++) {
		struct str part = str_sub(name, 0, i);
		bool last = i == name.len;

		if (!last && name.ptr[i] != '/')
			continue;
		above = id;
		if (!store_find_mailbox(db, c->account, part, &id, f))
			return false;
		if (id != 0)
			continue;
		if (!store_make_mailbox(db, c->account, part,
			    last ? c->role : ROLE_NONE, &id, f) ||
			!store_inherit_acl(db, c->account, above, id, f))
			return false;
	}
	return true;
}

/* Its messages go later: invariant 11. */
static bool delete_mailbox(
	struct db *db, struct change *c, int64_t id, struct fault *f)
{
	int64_t modseq;

	return store_next_modseq(db, c->account, &modseq, f) &&
	       db_run(db, f, "INSERT INTO deleted_mailboxes VALUES(?,?)", "ii",
		       c->account, id) &&
	       db_run(db, f,
		       "DELETE FROM metadata WHERE account=? AND mailbox=?",
		       "ii", c->account, id) &&
	       db_run(db, f, "DELETE FROM acl WHERE account=? AND mailbox=?",
		       "ii", c->account, id) &&
	       db_run(db, f,
		       "DELETE FROM mailboxes WHERE account=? AND mailbox=?",
		       "ii", c->account, id);
}

static bool rename_one(struct db *db, int64_t account, int64_t id,
	struct str name, struct fault *f)
{
	return db_run(db, f,
		"UPDATE mailboxes SET name=? WHERE account=? AND mailbox=?",
		"tii", name, account, id);
}

static bool rename_tree(
	struct db *db, struct change *c, int64_t id, struct fault *f)
{
	struct store_mailbox *v;
	size_t n;
	struct str parent = c->to;
	ptrdiff_t slash = str_rfind(c->to, '/');

	if (slash > 0) {
		parent.len = (size_t)slash;
		if (!create_path(db, c, parent, f))
			return false;
	}
	if (!read_mailboxes(db, c->account, c->a, &v, &n, f) ||
		!rename_one(db, c->account, id, c->to, f))
		return false;
	for (size_t i = 0; i < n; i++) {
		struct str tail = str_from_at(v[i].name, c->name.len);

		if (tail.len < 2 || tail.ptr[0] != '/' ||
			!str_eq(str_sub(v[i].name, 0, c->name.len), c->name))
			continue;
		if (!rename_one(db, c->account, v[i].id,
			    arena_concat(c->a, c->to, tail), f))
			return false;
	}
	return true;
}

/* Bounded by what there is: who makes, subscribes and deletes in a loop would
 * fill the disk. */
static bool subscribe(struct db *db, const struct change *c, struct fault *f)
{
	int64_t names_only = 0;

	if (!store_subscribe(db, c->account, c->name, f) ||
		!db_number(db, f, &names_only,
			"SELECT (SELECT count(*) FROM subscriptions WHERE"
			" account=?) - (SELECT count(*) FROM mailboxes WHERE"
			" account=? AND mailbox>0)",
			"ii", c->account, c->account))
		return false;
	return names_only <= NAMES_ONLY_MAX ||
	       fault_set(f, FAULT_PERM, 0, 0, 5,
		       "too many subscriptions to mailboxes that are gone");
}

static bool unsubscribe(struct db *db, const struct change *c, struct fault *f)
{
	return db_run(db, f,
		"DELETE FROM subscriptions WHERE account=? AND name=?", "it",
		c->account, c->name);
}

static bool change_work(struct db *db, void *ctx, struct fault *f)
{
	struct change *c = ctx;
	int64_t id = 0, other = 0;

	if (!store_ensure_account(db, c->account, f) ||
		!store_find_mailbox(db, c->account, c->name, &id, f))
		return false;
	if (c->kind == STORE_CREATE)
		return id != 0 ? there_is(c->name, f)
			       : role_is_free(db, c, f) &&
					 create_path(db, c, c->name, f);
	if (c->kind == STORE_UNSUBSCRIBE)
		return unsubscribe(db, c, f);
	if (c->kind == STORE_SUBSCRIBE)
		return subscribe(db, c, f);
	if (id == 0)
		return no_such(c->name, f);
	switch (c->kind) {
	case STORE_DELETE:
		return delete_mailbox(db, c, id, f);
	case STORE_RENAME:
		if (!store_find_mailbox(db, c->account, c->to, &other, f))
			return false;
		if (other != 0)
			return there_is(c->to, f);
		c->inbox = str_eqc(c->name, "INBOX") ? id : 0;
		return c->inbox != 0 ? create_path(db, c, c->to, f)
				     : rename_tree(db, c, id, f);
	case STORE_SUBSCRIBE:
	case STORE_UNSUBSCRIBE:
	case STORE_CREATE:
		break;
	}
	return false;
}

struct part {
	uint32_t uids[MOVED_AT_ONCE], to[MOVED_AT_ONCE];
	size_t n;
};

static bool take_uid(const struct store_row *row, void *ctx)
{
	struct part *p = ctx;

	p->uids[p->n++] = row->uid;
	return p->n < MOVED_AT_ONCE;
}

/* INBOX keeps its name: its messages move to a fresh one (RFC 9051 6.3.6), in
 * parts, so that nobody else waits for all of them. */
static bool move_inbox(struct store *s, const struct change *c, struct fault *f)
{
	struct part *p = arena_make(c->a, struct part);
	uint32_t validity;

	do {
		p->n = 0;
		if (!store_rows(
			    s, c->account, c->inbox, 0, 0, take_uid, p, f) ||
			(p->n > 0 && !store_copy(s, c->account, c->inbox,
					     p->uids, p->n, c->to, true, NULL,
					     p->to, &validity, f)))
			return false;
	} while (p->n > 0);
	return true;
}

bool store_change_mailbox(struct store *s, int64_t account,
	enum store_change kind, struct str name, struct str to,
	enum store_role role, struct fault *f)
{
	struct store_shard *shard = store_shard_of(s, account);
	struct change c = {.account = account,
		.kind = kind,
		.name = name,
		.to = to,
		.role = role,
		.a = arena_new(SIZE_MAX)};
	bool ok = committer_run(shard->committer, change_work, &c, f);

	if (ok && c.inbox != 0)
		ok = move_inbox(s, &c, f);
	if (ok && kind == STORE_DELETE)
		store_sweep(shard);
	arena_free(c.a);
	return ok;
}
