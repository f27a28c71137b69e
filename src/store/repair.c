/* SPDX-License-Identifier: ISC */
/* Makes a store fit its invariants again (sqlite.c); a record that is damaged
 * costs that record. */
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "db/db.h"
#include "store/keeping.h"
#include "store/salvage.h"
#include "sys/clock.h"
#include "sys/file.h"

struct repairing {
	struct db *db;
	const char *dir;
	unsigned shard;
	bool alone;
	void (*say)(const char *what, void *ctx);
	void *ctx;
	struct store_repaired *r;
	struct fault *f;
	struct arena *a;
	struct strs gone; /* body files of nobody */
};

static void say(struct repairing *x, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void say(struct repairing *x, const char *fmt, ...)
{
	char text[1200];
	int n = snprintf(text, sizeof(text), "mail.%u.db: ", x->shard);
	va_list args;

	va_start(args, fmt);
	vsnprintf(text + n, sizeof(text) - (size_t)n, fmt, args);
	va_end(args);
	x->say(text, x->ctx);
}

/* What the statement changed is counted, and said where it is something. */
static bool mend(struct repairing *x, const char *what, const char *sql)
{
	if (!db_exec(x->db, sql, x->f))
		return false;
	int64_t n = db_changes(x->db);
	if (n > 0 && what != NULL) {
		say(x, "%lld %s", (long long)n, what);
		x->r->mended += (uint64_t)n;
	}
	return true;
}

/* ---- SQLite's own ---- */

static bool file_is_sound(struct repairing *x, bool *ok_r)
{
	sqlite3_stmt *q = db_query(x->db, x->f, "PRAGMA integrity_check", "");
	int r;

	*ok_r = true;
	while ((r = db_step(x->db, q, x->f)) > 0)
		*ok_r &= str_eqc(db_text(q, 0), "ok");
	return r == 0;
}

static bool like(const char *path, const char *fresh, struct fault *f)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return fault_sys(f, "stat %s", path);
	return (chmod(fresh, st.st_mode & 07777) == 0 &&
		       chown(fresh, st.st_uid, st.st_gid) == 0) ||
	       fault_sys(f, "chown %s", fresh);
}

/* The file as it was stays beside the new one; there is one at each moment, and
 * the log of the old one never stands beside the new one. */
static bool swap_files(
	const char *path, const char *fresh, const char *old, struct fault *f)
{
	static const char *const tails[] = {"-wal", "-shm"};

	if (!like(path, fresh, f))
		return false;
	if (link(path, old) != 0)
		return fault_sys(f, "link %s", old);
	for (size_t i = 0; i < ARRAY_LEN(tails); i++) {
		char from[4300], to[4300];

		snprintf(from, sizeof(from), "%s%s", path, tails[i]);
		snprintf(to, sizeof(to), "%s%s", old, tails[i]);
		if (access(from, F_OK) == 0 && !file_rename(from, to, f))
			return false;
	}
	return file_rename(fresh, path, f) && dir_sync_of(path, f);
}

static void remove_fresh(const char *fresh)
{
	static const char *const tails[] = {"", "-wal", "-shm"};
	char path[4300];

	for (size_t i = 0; i < ARRAY_LEN(tails); i++) {
		snprintf(path, sizeof(path), "%s%s", fresh, tails[i]);
		unlink(path);
	}
}

static bool salvage(struct repairing *x, const char *path)
{
	char fresh[4200], old[4200];
	struct fault ignored;
	uint64_t lost;

	if (!x->alone)
		return fault_set(x->f, FAULT_PERM, 0, 3, 0,
			"mail.%u.db is damaged below its rows: stop the server "
			"and repair it then",
			x->shard);
	snprintf(fresh, sizeof(fresh), "%s.fresh", path);
	snprintf(old, sizeof(old), "%s.damaged.%lld", path,
		(long long)clock_unix());
	remove_fresh(fresh);
	/* Pages are read one by one, and from the file alone. */
	db_exec(x->db, "PRAGMA wal_checkpoint(TRUNCATE)", &ignored);
	if (!store_salvage(path, fresh, &lost, x->f)) {
		remove_fresh(fresh);
		return false;
	}
	db_close(x->db);
	x->db = NULL;
	if (!swap_files(path, fresh, old, x->f)) {
		remove_fresh(fresh);
		return false;
	}
	say(x,
		"it was damaged below its rows, and is made anew of what could "
		"be read; as it was, it is %s",
		old);
	if (lost > 0)
		say(x, "up to %llu messages stood in what could not be read",
			(unsigned long long)lost);
	x->r->mended++;
	x->r->lost += lost;
	x->db = db_open(path, DB_WRITE, x->f);
	return x->db != NULL;
}

/* An index is made of its rows; what is below the rows is read anew. */
static bool mend_file(struct repairing *x, const char *path)
{
	struct fault unread;
	bool ok;

	if (!file_is_sound(x, &ok))
		return db_damaged(x->db) && salvage(x, path);
	if (ok)
		return true;
	if (!db_exec(x->db, "REINDEX", &unread) || !file_is_sound(x, &ok) ||
		!ok)
		return salvage(x, path);
	say(x, "its indexes were made anew");
	x->r->mended++;
	return true;
}

/* ---- bodies ---- */

static bool is_lost(const struct repairing *x, int64_t blob, int64_t size)
{
	char path[4096], id[ID_TEXT];
	struct stat st;

	id_text((uint64_t)blob, id);
	snprintf(path, sizeof(path), "%s/blobs.%u/%s", x->dir, x->shard, id);
	return stat(path, &st) != 0 || (int64_t)st.st_size != size;
}

/* lost: blobs that some row names and that are not there. */
static bool find_lost(struct repairing *x)
{
	int64_t *v = NULL;
	size_t n = 0, cap = 0;
	int r;

	if (!db_exec(x->db,
		    "CREATE TEMP TABLE lost AS SELECT DISTINCT blob FROM"
		    " (SELECT blob FROM messages UNION SELECT blob FROM "
		    "removed)"
		    " WHERE blob NOT IN (SELECT blob FROM blobs)",
		    x->f))
		return false;
	sqlite3_stmt *q = db_query(x->db, x->f,
		"SELECT blob, size FROM blobs WHERE data IS NULL", "");
	while ((r = db_step(x->db, q, x->f)) > 0) {
		if (!is_lost(x, db_int(q, 0), db_int(q, 1)))
			continue;
		v = arena_grown(x->a, v, n, &cap, sizeof(*v));
		v[n++] = db_int(q, 0);
	}
	for (size_t i = 0; r == 0 && i < n; i++)
		if (!db_run(x->db, x->f, "INSERT INTO lost VALUES(?)", "i",
			    v[i]))
			return false;
	return r == 0;
}

static bool name_lost(struct repairing *x)
{
	sqlite3_stmt *q = db_query(x->db, x->f,
		"SELECT m.account, ifnull(b.name, '?'), m.uid FROM messages m"
		" LEFT JOIN mailboxes b ON b.account=m.account"
		" AND b.mailbox=m.mailbox WHERE m.blob IN lost"
		" ORDER BY 1, 2, 3",
		"");
	int r;

	while ((r = db_step(x->db, q, x->f)) > 0) {
		say(x,
			"account %lld, %.*s, UID %lld: the body is lost, the "
			"message goes",
			(long long)db_int(q, 0), STR_ARG(db_text(q, 1)),
			(long long)db_int(q, 2));
		x->r->lost++;
	}
	return r == 0;
}

/* As an EXPUNGE would: clients hear that it is gone. */
static bool drop_lost(struct repairing *x)
{
	return mend(x, NULL,
		       "UPDATE mailboxes SET modseq=modseq+1 WHERE mailbox=0"
		       " AND account IN (SELECT account FROM messages"
		       " WHERE blob IN lost)") &&
	       mend(x, NULL,
		       "INSERT OR IGNORE INTO vanished SELECT m.account,"
		       " m.mailbox, r.modseq, m.uid FROM messages m"
		       " JOIN mailboxes r ON r.account=m.account"
		       " AND r.mailbox=0 WHERE m.blob IN lost") &&
	       mend(x, NULL,
		       "UPDATE mailboxes SET modseq=(SELECT modseq FROM"
		       " mailboxes r WHERE r.account=mailboxes.account"
		       " AND r.mailbox=0) WHERE mailbox>0 AND EXISTS"
		       " (SELECT 1 FROM messages m WHERE"
		       " m.account=mailboxes.account"
		       " AND m.mailbox=mailboxes.mailbox"
		       " AND m.blob IN lost)") &&
	       mend(x, NULL, "DELETE FROM messages WHERE blob IN lost") &&
	       mend(x, "kept messages without a body",
		       "DELETE FROM removed WHERE blob IN lost");
}

/* ---- rows ---- */

/* Invariants 5 and 7: what numbers come from */
static bool mend_roots(struct repairing *x)
{
	return mend(x, "accounts without their numbers",
		       "INSERT INTO mailboxes SELECT account, 0, '', 0, 0,"
		       " 1, 1, 0, 0, 0, 0, 0, 0, 1 FROM"
		       " (SELECT account FROM mailboxes UNION"
		       " SELECT account FROM messages) a WHERE NOT EXISTS"
		       " (SELECT 1 FROM mailboxes r"
		       " WHERE r.account=a.account AND r.mailbox=0)") &&
	       mend(x, "accounts whose numbers were behind",
		       "UPDATE mailboxes SET"
		       " modseq=max(modseq, m.high), uidnext=max(uidnext,"
		       " m.validity), n_exists=max(n_exists, m.id) FROM"
		       " (SELECT account a, max(modseq) high,"
		       " max(uidvalidity) validity, max(mailbox) id FROM"
		       " (SELECT account, mailbox, uidvalidity, modseq"
		       " FROM mailboxes WHERE mailbox>0 UNION ALL"
		       " SELECT account, mailbox, 0, modseq FROM messages"
		       " UNION ALL"
		       " SELECT account, mailbox, 0, modseq FROM vanished)"
		       " GROUP BY account) m"
		       " WHERE mailboxes.mailbox=0 AND account=m.a"
		       " AND (modseq<m.high OR uidnext<m.validity"
		       " OR n_exists<m.id)");
}

static bool mend_mailboxes(struct repairing *x)
{
	/* A number of its own for each; above the time, as others are. */
	return mend(x, "mailboxes were lost and are called \"Recovered\" now",
		       "INSERT INTO mailboxes SELECT m.account, m.mailbox,"
		       /* The first is never another one. */
		       " iif(m.mailbox=1, 'INBOX',"
		       " 'Recovered ' || m.mailbox), 0,"
		       " max(r.uidnext, unixepoch()) + m.mailbox,"
		       " max(m.uid) + 1, r.modseq, 0, 0, 0, 0, 0, 0, 1"
		       " FROM messages m JOIN mailboxes r"
		       " ON r.account=m.account AND r.mailbox=0"
		       " WHERE NOT EXISTS (SELECT 1 FROM mailboxes b"
		       " WHERE b.account=m.account AND b.mailbox=m.mailbox)"
		       " AND NOT EXISTS (SELECT 1 FROM deleted_mailboxes d"
		       " WHERE d.account=m.account AND d.mailbox=m.mailbox)"
		       " GROUP BY m.account, m.mailbox") &&
	       mend(x, "accounts had no INBOX",
		       "INSERT INTO mailboxes SELECT r.account, 1, 'INBOX', 0,"
		       " max(r.uidnext, unixepoch()) + 1, 1, r.modseq,"
		       " 0, 0, 0, 0, 0, 0, 1 FROM mailboxes r"
		       " WHERE r.mailbox=0 AND NOT EXISTS"
		       " (SELECT 1 FROM mailboxes b WHERE b.account=r.account"
		       " AND (b.mailbox=1 OR b.name='INBOX'))") &&
	       mend(x, "mailboxes would have given UIDs twice",
		       "UPDATE mailboxes SET uidnext=m.last+1 FROM"
		       " (SELECT account a, mailbox b, max(uid) last"
		       " FROM messages GROUP BY 1, 2) m WHERE mailbox>0"
		       " AND account=m.a AND mailbox=m.b"
		       " AND uidnext<=m.last") &&
	       mend(x, NULL,
		       "UPDATE mailboxes SET modseq=m.high FROM"
		       " (SELECT account a, mailbox b, max(modseq) high FROM"
		       " (SELECT account, mailbox, modseq FROM messages"
		       " UNION ALL"
		       " SELECT account, mailbox, modseq FROM vanished)"
		       " GROUP BY 1, 2) m WHERE mailbox>0 AND account=m.a"
		       " AND mailbox=m.b AND modseq<m.high");
}

/* Invariants 6 and 9 */
static bool mend_counters(struct repairing *x)
{
	return mend(x, "mailboxes were counted wrong",
		"UPDATE mailboxes SET n_exists=m.n, n_unseen=m.unseen,"
		" n_deleted=m.deleted, bytes=m.bytes, seen_below=0, n_below=0"
		" FROM (SELECT b.account a, b.mailbox b, count(uid) n,"
		" ifnull(sum(flags & 1 = 0), 0) unseen,"
		" ifnull(sum(flags & 8 <> 0), 0) deleted,"
		" ifnull(sum(size), 0) bytes FROM mailboxes b"
		" LEFT JOIN messages ON messages.account=b.account"
		" AND messages.mailbox=b.mailbox WHERE b.mailbox>0"
		" GROUP BY 1, 2) m WHERE mailbox>0 AND account=m.a"
		" AND mailbox=m.b AND (n_exists<>m.n OR n_unseen<>m.unseen"
		" OR n_deleted<>m.deleted OR mailboxes.bytes<>m.bytes)");
}

static bool collect_unused(struct repairing *x)
{
	sqlite3_stmt *q = db_query(x->db, x->f,
		"SELECT blob FROM blobs WHERE refs=0 AND data IS NULL", "");
	int r;

	while ((r = db_step(x->db, q, x->f)) > 0) {
		char id[ID_TEXT];

		id_text((uint64_t)db_int(q, 0), id);
		strs_add(&x->gone, x->a,
			arena_printf(
				x->a, "%s/blobs.%u/%s", x->dir, x->shard, id));
	}
	return r == 0;
}

/* Invariant 2 */
static bool mend_references(struct repairing *x)
{
	return mend(x, "bodies had their references counted wrong",
		       "UPDATE blobs SET refs=m.n FROM"
		       " (SELECT b.blob x, count(u.blob) n FROM blobs b"
		       " LEFT JOIN (SELECT blob FROM messages UNION ALL"
		       " SELECT blob FROM removed) u ON u.blob=b.blob"
		       " GROUP BY b.blob) m WHERE blob=m.x AND refs<>m.n") &&
	       collect_unused(x) &&
	       mend(x, NULL, "DELETE FROM blobs WHERE refs=0");
}

/* ---- one shard ---- */

static bool repair_rows(struct repairing *x)
{
	return mend_roots(x) && find_lost(x) && name_lost(x) && drop_lost(x) &&
	       mend_mailboxes(x) && mend_roots(x) && mend_references(x) &&
	       mend_counters(x);
}

static bool repair_shard(struct repairing *x, const char *path)
{
	struct fault ignored;

	x->db = db_open(path, DB_WRITE, x->f);
	if (x->db == NULL)
		return false;
	x->gone = (struct strs){0};
	/* Reading all of a large file takes long: nobody waits for that. */
	bool ok = mend_file(x, path) &&
		  db_exec(x->db, "BEGIN IMMEDIATE", x->f) && repair_rows(x) &&
		  db_exec(x->db, "DROP TABLE lost; COMMIT", x->f);
	if (!ok && x->db != NULL)
		db_exec(x->db, "ROLLBACK", &ignored);
	for (size_t i = 0; ok && i < x->gone.n; i++)
		unlink(x->gone.v[i].ptr);
	db_close(x->db);
	return ok;
}

bool store_repair(const char *dir, bool alone,
	void (*fn)(const char *what, void *ctx), void *ctx,
	struct store_repaired *r_r, struct fault *f)
{
	struct repairing x = {.dir = dir,
		.alone = alone,
		.say = fn,
		.ctx = ctx,
		.r = r_r,
		.f = f,
		.a = arena_new(SIZE_MAX)};
	char path[4096];
	bool ok = true;

	*r_r = (struct store_repaired){0};
	for (x.shard = 0; ok; x.shard++) {
		snprintf(path, sizeof(path), "%s/mail.%u.db", dir, x.shard);
		if (access(path, F_OK) != 0)
			break;
		ok = repair_shard(&x, path);
	}
	arena_free(x.a);
	return ok && (x.shard > 0 || fault_set(f, FAULT_PERM, 0, 0, 2,
					     "no store in %s", dir));
}
