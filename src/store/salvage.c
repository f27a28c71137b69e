/* SPDX-License-Identifier: ISC */
#include "store/salvage.h"

#include <fcntl.h>
#include <stdio.h>

#include "db/db.h"
#include "store/salvage_pages.h"
#include "sys/file.h"

enum {
	BOXES_GUESSED = 100, /* of an account whose numbers are lost */
	BOXES_MAX = 1000000, /* no account gave so many: the number is none */
	UIDS_GUESSED = 2000, /* in a row without a message, the same */
	COMMIT_EVERY = 50000,
};

struct salvage {
	struct db *from, *to;
	struct raw_pages *raw; /* NULL: it cannot be read so */
	struct fault *f; /* of .to; what .from says only ends a reading */
	struct fault unread;
	uint64_t n_copied;
	int64_t first, last; /* the accounts of which messages are missing, or
				their ends */
	bool guess; /* some mailboxes are missing: each number may be one */
};

/* ---- one row ---- */

/* The row of q, as it is.  What came from both ends is there already. */
static bool put_row(struct salvage *x, sqlite3_stmt *q, const char *into)
{
	int n = sqlite3_column_count(q);
	sqlite3_stmt *s = db_query(x->to, x->f, into, "");

	for (int i = 0; s != NULL && i < n; i++)
		sqlite3_bind_value(s, i + 1, sqlite3_column_value(q, i));
	if (s == NULL || db_step(x->to, s, x->f) != 0)
		return false;
	return ++x->n_copied % COMMIT_EVERY != 0 ||
	       db_exec(x->to, "COMMIT; BEGIN", x->f);
}

/* All of a query up to the first that cannot be read.  *whole_r: it was read to
 * its end; *last_r: the first column of the last row. */
static bool put_rows(struct salvage *x, sqlite3_stmt *q, const char *into,
	int column, bool *whole_r, int64_t *last_r)
{
	int r;

	while ((r = db_step(x->from, q, &x->unread)) > 0) {
		*last_r = db_int(q, column);
		if (!put_row(x, q, into)) {
			db_reset(q);
			return false;
		}
	}
	*whole_r = r == 0;
	if (r == 0 || db_damaged(x->from))
		return true;
	*x->f = x->unread; /* it may be read another time */
	return false;
}

/* ---- tables from both ends ---- */

struct table {
	const char *up, *down; /* all rows, in the order of the key and back */
	const char *into;
	enum raw_table raw;
};
#define NOT_RAW RAW_TABLES
#define TABLE(name, marks, up, down, kind)                                     \
	{                                                                      \
		"SELECT * FROM " name " ORDER BY " up,                         \
			"SELECT * FROM " name " ORDER BY " down,               \
			"INSERT OR IGNORE INTO " name " VALUES(" marks ")",    \
			kind                                                   \
	}

static const struct table mailboxes =
	TABLE("mailboxes", "?,?,?,?,?,?,?,?,?,?,?,?,?,?", "account, mailbox",
		"account DESC, mailbox DESC", RAW_MAILBOXES);
static const struct table messages =
	TABLE("messages", "?,?,?,?,?,?,?,?,?,?,?,?,?", "account, mailbox, uid",
		"account DESC, mailbox DESC, uid DESC", RAW_MESSAGES);
enum { VANISHED = 0 };
static const struct table others[] = {
	TABLE("vanished", "?,?,?,?", "account, mailbox, modseq, uid",
		"account DESC, mailbox DESC, modseq DESC, uid DESC", NOT_RAW),
	TABLE("removed", "?,?,?,?,?,?,?,?,?,?,?", "account, at, mailbox, uid",
		"account DESC, at DESC, mailbox DESC, uid DESC", RAW_REMOVED),
	TABLE("deliveries", "?,?,?", "msg, account, mailbox",
		"msg DESC, account DESC, mailbox DESC", RAW_DELIVERIES),
	TABLE("metadata", "?,?,?,?", "account, mailbox, entry",
		"account DESC, mailbox DESC, entry DESC", RAW_METADATA),
	TABLE("subscriptions", "?,?", "account, name",
		"account DESC, name DESC", RAW_SUBSCRIPTIONS),
	TABLE("acl", "?,?,?,?,?", "account, mailbox, grantee",
		"account DESC, mailbox DESC, grantee DESC", RAW_ACL),
	TABLE("sharers", "?,?", "account, owner", "account DESC, owner DESC",
		RAW_SHARERS),
	TABLE("deleted_mailboxes", "?,?", "account, mailbox",
		"account DESC, mailbox DESC", NOT_RAW),
	TABLE("copying", "?,?,?,?", "account, mailbox, first",
		"account DESC, mailbox DESC, first DESC", NOT_RAW)};

/* first_r, last_r: the accounts between which something is missing. */
static bool put_table(struct salvage *x, const struct table *t, bool *whole_r,
	int64_t *first_r, int64_t *last_r)
{
	bool again;

	*first_r = 0;
	*last_r = INT64_MAX;
	return put_rows(x, db_query(x->from, &x->unread, t->up, ""), t->into, 0,
		       whole_r, first_r) &&
	       (*whole_r ||
		       put_rows(x, db_query(x->from, &x->unread, t->down, ""),
			       t->into, 0, &again, last_r));
}

/* ---- mailboxes by number ---- */

static bool put_mailbox(struct salvage *x, int64_t account, int64_t mailbox)
{
	bool whole;
	int64_t last;

	return put_rows(x,
		db_query(x->from, &x->unread,
			"SELECT * FROM mailboxes WHERE account=? AND mailbox=?",
			"ii", account, mailbox),
		mailboxes.into, 0, &whole, &last);
}

/* The ids that an account gave stand in its root row. */
static bool last_mailbox(struct salvage *x, int64_t account, int64_t *id_r)
{
	*id_r = BOXES_GUESSED;
	if (!db_number(x->to, x->f, id_r,
		    "SELECT n_exists FROM mailboxes"
		    " WHERE account=? AND mailbox=0",
		    "i", account))
		return false;
	if (*id_r < 0 || *id_r > BOXES_MAX)
		*id_r = BOXES_GUESSED;
	return true;
}

static bool put_mailboxes_between(
	struct salvage *x, int64_t first, int64_t last)
{
	for (int64_t account = first; account <= last; account++) {
		int64_t ids;

		if (!put_mailbox(x, account, 0) ||
			!last_mailbox(x, account, &ids))
			return false;
		for (int64_t id = 1; id <= ids; id++)
			if (!put_mailbox(x, account, id))
				return false;
	}
	return true;
}

/* Where one end cannot be read at all, the accounts of the messages say how
 * far to go. */
static bool put_mailboxes(struct salvage *x)
{
	int64_t first, last, highest = 0;
	bool whole;

	if (!put_table(x, &mailboxes, &whole, &first, &last))
		return false;
	x->guess = !whole;
	if (whole)
		return true;
	if (x->raw != NULL)
		return raw_pages_put(x->raw, RAW_MAILBOXES, x->to, x->f);
	if (last == INT64_MAX) {
		sqlite3_stmt *q = db_query(x->from, &x->unread,
			"SELECT max(account) FROM messages", "");
		if (db_step(x->from, q, &x->unread) > 0) {
			highest = db_int(q, 0);
			db_reset(q);
		}
		last = highest > first ? highest : first;
	}
	return put_mailboxes_between(x, first, last);
}

/* ---- messages by number ---- */

/* *readable_r: it could be read, or that there is none. */
static bool put_message(struct salvage *x, int64_t account, int64_t mailbox,
	int64_t uid, bool *readable_r)
{
	int64_t last;

	return put_rows(x,
		db_query(x->from, &x->unread,
			"SELECT * FROM messages"
			" WHERE account=? AND mailbox=? AND uid=?",
			"iii", account, mailbox, uid),
		messages.into, 2, readable_r, &last);
}

/* Pieces of a mailbox, and UID by UID through the holes between them. */
static bool put_messages_of(
	struct salvage *x, int64_t account, int64_t mailbox, int64_t uidnext)
{
	int64_t uid = 0, missed = 0;
	bool whole = false, readable = true;

	while (!whole && uid < uidnext && missed < UIDS_GUESSED) {
		if (readable && !put_rows(x,
					db_query(x->from, &x->unread,
						"SELECT * FROM messages WHERE"
						" account=? AND mailbox=?"
						" AND uid>? ORDER BY uid",
						"iii", account, mailbox, uid),
					messages.into, 2, &whole, &uid))
			return false;
		if (!whole &&
			!put_message(x, account, mailbox, ++uid, &readable))
			return false;
		missed = readable || uidnext < UINT32_MAX ? 0 : missed + 1;
	}
	return true;
}

static bool put_messages_in(struct salvage *x, int64_t account)
{
	int64_t ids;

	if (!last_mailbox(x, account, &ids))
		return false;
	for (int64_t id = 1; id <= ids; id++) {
		int64_t uidnext = x->guess ? UINT32_MAX : 0;

		if (!db_number(x->to, x->f, &uidnext,
			    "SELECT uidnext FROM mailboxes"
			    " WHERE account=? AND mailbox=?",
			    "ii", account, id) ||
			!put_messages_of(x, account, id, uidnext))
			return false;
	}
	return true;
}

static void torn(struct salvage *x, int64_t first, int64_t last)
{
	if (first < x->first)
		x->first = first;
	if (last > x->last)
		x->last = last;
}

static bool put_messages(struct salvage *x)
{
	int64_t first, last;
	bool whole;

	if (!put_table(x, &messages, &whole, &first, &last))
		return false;
	if (whole)
		return true;
	if (last == INT64_MAX &&
		!db_number(x->to, x->f, &last,
			"SELECT ifnull(max(account), 0) FROM mailboxes", ""))
		return false;
	torn(x, first, last);
	if (x->raw != NULL)
		return raw_pages_put(x->raw, RAW_MESSAGES, x->to, x->f);
	for (int64_t account = first; account <= last; account++)
		if (!put_messages_in(x, account))
			return false;
	return true;
}

/* ---- bodies that somebody names ---- */

static bool put_bodies(struct salvage *x)
{
	sqlite3_stmt *q;
	int64_t last;
	int64_t lost = 0;
	bool whole;
	int r;

	if (!db_exec(x->to,
		    "CREATE TEMP TABLE named(blob INTEGER PRIMARY KEY);"
		    "INSERT INTO named SELECT blob FROM messages"
		    " UNION SELECT blob FROM removed",
		    x->f))
		return false;
	q = db_query(x->to, x->f, "SELECT blob FROM named ORDER BY blob", "");
	while ((r = db_step(x->to, q, x->f)) > 0)
		if (!put_rows(x,
			    db_query(x->from, &x->unread,
				    "SELECT * FROM blobs WHERE blob=?", "i",
				    db_int(q, 0)),
			    "INSERT OR IGNORE INTO blobs VALUES(?,?,?,?,?)", 0,
			    &whole, &last))
			return false;
	return r == 0 &&
	       (x->raw == NULL ||
		       (db_number(x->to, x->f, &lost,
				"SELECT count(*) FROM named WHERE NOT EXISTS"
				" (SELECT 1 FROM blobs b"
				" WHERE b.blob=named.blob)",
				"") &&
			       (lost == 0 || raw_pages_put(x->raw, RAW_BLOBS,
						     x->to, x->f))));
}

/* ---- what clients know ---- */

/* UIDs that were given and are not there have gone, whatever became of them:
 * clients that remember them must hear so, by a MODSEQ above all they know. */
static bool tell_lost(struct salvage *x, uint64_t *lost_r)
{
	int64_t n = 0;
	bool ok = db_exec(x->to,
			  "UPDATE mailboxes SET modseq=modseq+1000000"
			  " WHERE mailbox=0;"
			  "CREATE TEMP TABLE gone(account INT, mailbox INT,"
			  " uid INT)",
			  x->f) &&
		  db_run(x->to, x->f,
			  "WITH RECURSIVE given(account, mailbox, uid) AS"
			  " (SELECT account, mailbox, 1 FROM mailboxes"
			  " WHERE mailbox>0 AND uidnext>1"
			  " AND account BETWEEN ? AND ? UNION ALL"
			  " SELECT g.account, g.mailbox, g.uid+1 FROM given g"
			  " JOIN mailboxes b USING(account, mailbox)"
			  " WHERE g.uid+1<b.uidnext)"
			  " INSERT INTO gone SELECT * FROM given"
			  " EXCEPT SELECT account, mailbox, uid FROM messages"
			  " EXCEPT SELECT account, mailbox, uid FROM vanished",
			  "ii", x->first, x->last) &&
		  db_exec(x->to,
			  "INSERT INTO vanished SELECT g.account, g.mailbox,"
			  " r.modseq, g.uid FROM gone g JOIN mailboxes r"
			  " ON r.account=g.account AND r.mailbox=0",
			  x->f) &&
		  db_number(x->to, x->f, &n, "SELECT count(*) FROM gone", "");

	*lost_r = (uint64_t)n;
	return ok;
}

/* ---- all of it ---- */

static bool put_all(struct salvage *x, uint64_t *lost_r)
{
	int64_t first, last;
	bool whole;

	if (!put_mailboxes(x) || !put_messages(x))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		if (!put_table(x, &others[i], &whole, &first, &last))
			return false;
		if (!whole && i == VANISHED)
			torn(x, first, last);
		if (!whole && x->raw != NULL && others[i].raw != NOT_RAW &&
			!raw_pages_put(x->raw, others[i].raw, x->to, x->f))
			return false;
	}
	return put_bodies(x) && tell_lost(x, lost_r);
}

static bool sync_path(const char *path, struct fault *f)
{
	int fd CLEANUP(fd_close) = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? fault_sys(f, "open %s", path) : file_sync(fd, f);
}

bool store_salvage(
	const char *path, const char *fresh, uint64_t *lost_r, struct fault *f)
{
	struct salvage x = {.f = f, .first = INT64_MAX};

	*lost_r = 0;
	x.from = db_open(path, DB_READ, f);
	if (x.from == NULL)
		return false;
	x.to = db_open(fresh, DB_LOOSE, f);
	x.raw = raw_pages_open(path);
	bool ok = x.to != NULL && store_make_tables(x.to, f) &&
		  db_exec(x.to, "BEGIN", f) && put_all(&x, lost_r) &&
		  db_exec(x.to, "COMMIT", f) &&
		  db_exec(x.to, "PRAGMA wal_checkpoint(TRUNCATE)", f);
	raw_pages_close(x.raw);
	db_close(x.to);
	db_close(x.from);
	return ok && sync_path(fresh, f);
}
