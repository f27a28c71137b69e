/* SPDX-License-Identifier: ISC */
/* CREATE, DELETE, RENAME and subscriptions of the SQLite engine.
 * The invariants stand at the top of sqlite.c. */
#include <string.h>

#include "base/must.h"
#include "store/rules.h"
#include "store/sqlite_private.h"

enum { MOVED_AT_ONCE = 1000 };

struct change {
	int64_t account;
	enum store_change_kind kind;
	struct str name;
	struct str to;
	enum store_role role;
	int64_t inbox; /* its messages are to be moved: those below */
	int64_t inbox_uidnext;
	int64_t mailboxes_max;
	struct arena *a;
};

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

static bool within_limit(struct db *db, const struct change *c, struct fault *f)
{
	int64_t n = 0;

	if (c->mailboxes_max == 0)
		return true;
	return db_number(db, f, &n,
		       "SELECT count(*) FROM mailboxes"
		       " WHERE account=? AND mailbox>0",
		       "i", c->account) &&
	       (n <= c->mailboxes_max ||
		       fault_set(f, FAULT_PERM, 0, 0, 5,
			       "there may be %lld mailboxes at most",
			       (long long)c->mailboxes_max));
}

/* RFC 9051 6.3.4: a/b/c makes a and a/b, too. */
static bool create_path(
	struct db *db, struct change *c, struct str name, struct fault *f)
{
	int64_t id = 0, above = 0;
	bool made = false;

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
		made = true;
	}
	return !made || within_limit(db, c, f);
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

/* INBOX keeps its name (RFC 9051 6.3.6): move_inbox does the rest. */
static bool rename_inbox(
	struct db *db, struct change *c, int64_t id, struct fault *f)
{
	c->inbox = id;
	return create_path(db, c, c->to, f) &&
	       db_number(db, f, &c->inbox_uidnext,
		       "SELECT uidnext FROM mailboxes"
		       " WHERE account=? AND mailbox=?",
		       "ii", c->account, id);
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
	if (!store_read_mailboxes(db, c->account, c->a, &v, &n, f) ||
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
	return names_only <= STORE_NAMES_ONLY_MAX ||
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
		return id != 0 ? store_there_is(c->name, f)
			       : role_is_free(db, c, f) &&
					 create_path(db, c, c->name, f);
	if (c->kind == STORE_UNSUBSCRIBE)
		return unsubscribe(db, c, f);
	if (c->kind == STORE_SUBSCRIBE)
		return subscribe(db, c, f);
	if (id == 0)
		return store_no_such(c->name, f);
	switch (c->kind) {
	case STORE_DELETE:
		return delete_mailbox(db, c, id, f);
	case STORE_RENAME:
		if (!store_find_mailbox(db, c->account, c->to, &other, f))
			return false;
		if (other != 0)
			return store_there_is(c->to, f);
		return str_eqc(c->name, "INBOX") ? rename_inbox(db, c, id, f)
						 : rename_tree(db, c, id, f);
	case STORE_SUBSCRIBE:
	case STORE_UNSUBSCRIBE:
	case STORE_CREATE:
	case STORE_TOLD:
		break;
	}
	return false;
}

struct part {
	uint32_t uids[MOVED_AT_ONCE], to[MOVED_AT_ONCE];
	size_t n;
	int64_t below;
};

static bool take_uid(const struct store_row *row, void *ctx)
{
	struct part *p = ctx;

	if (row->uid >= p->below)
		return false;
	p->uids[p->n++] = row->uid;
	return p->n < MOVED_AT_ONCE;
}

/* To a fresh mailbox, in parts, so that nobody else waits for all of them. What
 * arrives meanwhile stays. */
static bool move_inbox(struct store *s, const struct change *c, struct fault *f)
{
	struct part *p = arena_make(c->a, struct part);
	uint32_t validity;

	p->below = c->inbox_uidnext;
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
	const struct store_change *change, struct fault *f)
{
	struct store_shard *shard = store_shard_of(s, account);

	if (change->kind == STORE_TOLD)
		return store_tell(
			shard, account, change->mailbox, change->below, f);
	struct change c = {.account = account,
		.kind = change->kind,
		.name = change->name,
		.to = change->to,
		.role = change->role,
		.mailboxes_max = shard->settings.mailboxes_max,
		.a = arena_new(SIZE_MAX)};
	bool ok = committer_run(shard->committer, change_work, &c, f);

	if (ok && c.inbox != 0)
		ok = move_inbox(s, &c, f);
	if (ok && c.kind == STORE_DELETE)
		store_sweep(shard);
	arena_free(c.a);
	return ok;
}
