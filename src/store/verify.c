/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "db/db.h"
#include "store/keeping.h"
#include "sys/clock.h"

struct verifying {
	struct db *db;
	const char *dir;
	unsigned shard;
	void (*complain)(const char *what, void *ctx);
	void *ctx;
	struct store_verified *v;
	struct fault *f;
};

static void complain(struct verifying *x, const char *fmt, ...)
	PRINTF_LIKE(2, 3);

static void complain(struct verifying *x, const char *fmt, ...)
{
	char text[512];
	int n = snprintf(text, sizeof(text), "mail.%u.db: ", x->shard);
	va_list args;

	va_start(args, fmt);
	vsnprintf(text + n, sizeof(text) - (size_t)n, fmt, args);
	va_end(args);
	x->v->problems++;
	x->complain(text, x->ctx);
}

/* Rows of two numbers, each a problem. */
static bool each(struct verifying *x, const char *sql, const char *what)
{
	sqlite3_stmt *q = db_query(x->db, x->f, sql, "");
	int r;

	while ((r = db_step(x->db, q, x->f)) > 0)
		complain(x, "%s %lld of account %lld", what,
			(long long)db_int(q, 1), (long long)db_int(q, 0));
	return r == 0;
}

static bool check_file(struct verifying *x)
{
	sqlite3_stmt *q = db_query(x->db, x->f, "PRAGMA integrity_check", "");
	int r;

	while ((r = db_step(x->db, q, x->f)) > 0)
		if (!str_eqc(db_text(q, 0), "ok"))
			complain(x, "%.*s", STR_ARG(db_text(q, 0)));
	return r == 0;
}

/* Bodies that are files; one that was expunged meanwhile is none any more. */
static bool check_bodies(struct verifying *x)
{
	sqlite3_stmt *q = db_query(x->db, x->f,
		"SELECT blob, size FROM blobs WHERE data IS NULL", "");
	int r;

	while ((r = db_step(x->db, q, x->f)) > 0) {
		char path[4096], id[ID_TEXT];
		struct stat st;

		id_text((uint64_t)db_int(q, 0), id);
		snprintf(path, sizeof(path), "%s/blobs.%u/%s", x->dir, x->shard,
			id);
		x->v->bodies++;
		if (stat(path, &st) != 0)
			complain(x, "the body %s is missing", path);
		else if ((int64_t)st.st_size != db_int(q, 1))
			complain(x, "the body %s has another size", path);
	}
	return r == 0;
}

static bool count_all(struct verifying *x)
{
	int64_t boxes = 0, messages = 0;

	if (!db_number(x->db, x->f, &boxes,
		    "SELECT count(*) FROM mailboxes WHERE mailbox>0", "") ||
		!db_number(x->db, x->f, &messages,
			"SELECT count(*) FROM messages", ""))
		return false;
	x->v->mailboxes += (uint64_t)boxes;
	x->v->messages += (uint64_t)messages;
	return true;
}

/* The invariants at the top of sqlite.c, by their numbers. */
static bool check_rows(struct verifying *x)
{
	return count_all(x) &&
	       each(x, /* 6 */
		       "SELECT b.account, b.mailbox FROM mailboxes b"
		       " LEFT JOIN (SELECT account, mailbox, count(*) n,"
		       " sum(flags & 1 = 0) unseen, sum(flags & 8 <> 0) "
		       "deleted,"
		       " sum(size) bytes, max(uid) last FROM messages"
		       " GROUP BY account, mailbox) m"
		       " ON m.account=b.account AND m.mailbox=b.mailbox"
		       " WHERE b.mailbox>0 AND (n_exists<>ifnull(n, 0)"
		       " OR n_unseen<>ifnull(unseen, 0)"
		       " OR n_deleted<>ifnull(deleted, 0)"
		       " OR b.bytes<>ifnull(m.bytes, 0))",
		       "the counters are wrong of mailbox") &&
	       each(x, /* 4 */
		       "SELECT b.account, b.mailbox FROM mailboxes b"
		       " WHERE b.mailbox>0 AND uidnext<=(SELECT max(uid)"
		       " FROM messages m WHERE m.account=b.account"
		       " AND m.mailbox=b.mailbox)",
		       "UIDs would be given twice in mailbox") &&
	       each(x,
		       "SELECT DISTINCT m.account, m.mailbox FROM messages m"
		       " LEFT JOIN mailboxes b ON b.account=m.account"
		       " AND b.mailbox=m.mailbox WHERE b.mailbox IS NULL"
		       " AND NOT EXISTS (SELECT 1 FROM deleted_mailboxes d"
		       " WHERE d.account=m.account AND d.mailbox=m.mailbox)",
		       "messages without their mailbox,") &&
	       each(x, /* 2 */
		       "SELECT m.account, m.uid FROM messages m"
		       " LEFT JOIN blobs b ON b.blob=m.blob"
		       " WHERE b.blob IS NULL",
		       "there is no body for UID") &&
	       each(x, /* 2 */
		       "SELECT ifnull(n, 0), b.blob FROM blobs b LEFT JOIN"
		       " (SELECT blob, count(*) n FROM (SELECT blob FROM "
		       "messages"
		       " UNION ALL SELECT blob FROM removed) GROUP BY blob) m"
		       " ON m.blob=b.blob WHERE b.refs<>ifnull(n, 0)",
		       "the references are counted wrong of body");
}

static bool verify_shard(struct verifying *x, const char *path)
{
	struct fault ignored;

	x->db = db_open(path, DB_READ, x->f);
	if (x->db == NULL)
		return false;
	/* One moment for all questions. */
	bool ok = db_exec(x->db, "BEGIN", x->f) && check_file(x) &&
		  check_rows(x) && check_bodies(x);
	db_exec(x->db, "COMMIT", &ignored);
	db_close(x->db);
	return ok;
}

bool store_verify(const char *dir, void (*fn)(const char *what, void *ctx),
	void *ctx, struct store_verified *v_r, struct fault *f)
{
	struct verifying x = {
		.dir = dir, .complain = fn, .ctx = ctx, .v = v_r, .f = f};
	char path[4096];

	*v_r = (struct store_verified){0};
	for (x.shard = 0;; x.shard++) {
		snprintf(path, sizeof(path), "%s/mail.%u.db", dir, x.shard);
		if (access(path, F_OK) != 0)
			break;
		if (!verify_shard(&x, path))
			return false;
	}
	return x.shard > 0 ||
	       fault_set(f, FAULT_PERM, 0, 0, 2, "no store in %s", dir);
}
