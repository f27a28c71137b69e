/* SPDX-License-Identifier: ISC */
/*
 * store on SQLite: K shard files, account modulo K.
 *
 * Invariants
 * 1. All changes of one call are one transaction of one shard; of a call with
 *    many messages, and of a RENAME of INBOX, those of a part are.
 * 2. A blob has refs rows of messages and removed that name it; at 0 it is
 * deleted with its file in the same transaction (the file after the commit).
 * 3. A blob beyond ROW_MAX bytes is a file, linked and synced before its row
 *    commits.  A file without a row is garbage and swept at open.
 * 4. mailboxes.uidnext is above every UID that was ever given out there.
 * 5. mailboxes 0 of an account is its root row: its modseq is the account's
 *    last one; every change takes the next.
 * 6. n_exists, n_unseen and bytes equal what the rows say.
 * 7. UIDVALIDITY comes from the root row's uidnext, which only grows; so does
 *    the id of a mailbox, from the root row's n_exists.
 * 8. createseq is the modseq a row was born with: in a mailbox it never falls
 *    from one UID to the next.  What was changed since has a higher modseq, and
 *    only that stands in the index messages_changed.
 * 9. Every message below mailboxes.seen_below is seen, n_below of them exist.
 * 10. deliveries has a row for each message id that came into a mailbox, also
 *    when it was moved away or expunged since, for DELIVERIES_KEPT_S.
 * 11. deleted_mailboxes has those whose messages are still there, and are
 *    nobody's: no other row of theirs is.
 * 12. A COPY that has more parts to come has a row in copying for each part
 *    that is there.  At open what they tell of is taken back.
 */
#include "store/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/must.h"
#include "store/salvage.h"
#include "store/sqlite_private.h"
#include "sys/clock.h"
#include "sys/log.h"

enum { SHARDS_MAX_BY_ITSELF = 4 };

static const char schema_1[] =
	"CREATE TABLE mailboxes(account INT, mailbox INT, name TEXT NOT NULL,"
	" role INT NOT NULL, subscribed INT NOT NULL,"
	" uidvalidity INT NOT NULL, uidnext INT NOT NULL, modseq INT NOT NULL,"
	" n_exists INT NOT NULL, n_unseen INT NOT NULL, bytes INT NOT NULL,"
	" PRIMARY KEY(account, mailbox)) WITHOUT ROWID;"
	"CREATE TABLE messages(account INT, mailbox INT, uid INT,"
	" msg INT NOT NULL, modseq INT NOT NULL, flags INT NOT NULL,"
	" keywords TEXT, size INT NOT NULL, received INT NOT NULL,"
	" savedate INT NOT NULL, blob INT NOT NULL, prefix BLOB, cache BLOB,"
	" PRIMARY KEY(account, mailbox, uid)) WITHOUT ROWID;"
	"CREATE INDEX messages_modseq ON messages(account, mailbox, modseq);"
	"CREATE UNIQUE INDEX messages_msg ON messages(account, mailbox, msg);"
	"CREATE TABLE vanished(account INT, mailbox INT, modseq INT, uid INT,"
	" PRIMARY KEY(account, mailbox, modseq, uid)) WITHOUT ROWID;"
	"CREATE TABLE blobs(blob INTEGER PRIMARY KEY, refs INT NOT NULL,"
	" size INT NOT NULL, data BLOB)";
/*
 * 2: a delivery touches fewer pages: no index has a row for each message, what
 * is the same for all recipients (cache) stands beside the body, in front of
 * it, where reading it does not walk through the body.
 */
static const char schema_2[] =
	"ALTER TABLE mailboxes ADD COLUMN n_deleted INT NOT NULL DEFAULT 0;"
	"ALTER TABLE mailboxes ADD COLUMN seen_below INT NOT NULL DEFAULT 0;"
	"ALTER TABLE mailboxes ADD COLUMN n_below INT NOT NULL DEFAULT 0;"
	"UPDATE mailboxes SET modseq=max(modseq, 1);"
	"UPDATE mailboxes SET n_exists=(SELECT max(mailbox) FROM mailboxes m"
	" WHERE m.account=mailboxes.account) WHERE mailbox=0;"
	"ALTER TABLE messages RENAME TO messages_1;"
	"DROP INDEX messages_modseq;"
	"DROP INDEX messages_msg;"
	"CREATE TABLE messages(account INT, mailbox INT, uid INT,"
	" modseq INT NOT NULL, createseq INT NOT NULL, flags INT NOT NULL,"
	" keywords TEXT, size INT NOT NULL, received INT NOT NULL,"
	" savedate INT NOT NULL, blob INT NOT NULL, prefix BLOB,"
	" PRIMARY KEY(account, mailbox, uid)) WITHOUT ROWID;"
	"INSERT INTO messages SELECT account, mailbox, uid, max(modseq, 1), 0,"
	" flags, keywords, size, received, savedate, blob, prefix"
	" FROM messages_1;"
	"CREATE INDEX messages_changed ON messages(account, mailbox, modseq)"
	" WHERE modseq > createseq;"
	"CREATE TABLE deliveries(msg INT, account INT, mailbox INT,"
	" PRIMARY KEY(msg, account, mailbox)) WITHOUT ROWID;"
	"INSERT INTO deliveries SELECT msg, account, mailbox FROM messages_1;"
	"DROP TABLE messages_1;"
	"UPDATE mailboxes SET n_deleted=(SELECT count(*) FROM messages m"
	" WHERE m.account=mailboxes.account AND m.mailbox=mailboxes.mailbox"
	" AND m.flags & 8) WHERE mailbox>0;"
	"ALTER TABLE blobs RENAME TO blobs_1;"
	"CREATE TABLE blobs(blob INTEGER PRIMARY KEY, refs INT NOT NULL,"
	" size INT NOT NULL, cache BLOB, data BLOB);"
	"INSERT INTO blobs SELECT blob, refs, size, NULL, data FROM blobs_1;"
	"DROP TABLE blobs_1";
static const char schema_3[] =
	"CREATE TABLE metadata(account INT, mailbox INT, entry TEXT, value "
	"BLOB,"
	" PRIMARY KEY(account, mailbox, entry)) WITHOUT ROWID";
static const char schema_4[] =
	"CREATE TABLE removed(account INT, at INT, mailbox INT, uid INT,"
	" flags INT NOT NULL, keywords TEXT, size INT NOT NULL,"
	" received INT NOT NULL, savedate INT NOT NULL, blob INT NOT NULL,"
	" prefix BLOB, PRIMARY KEY(account, at, mailbox, uid)) WITHOUT ROWID";
/* 5: a subscription is of a name, also after its mailbox went. RFC 9051 6.3.7
 */
static const char schema_5[] =
	"CREATE TABLE subscriptions(account INT, name TEXT,"
	" PRIMARY KEY(account, name)) WITHOUT ROWID;"
	"INSERT OR IGNORE INTO subscriptions SELECT account, name"
	" FROM mailboxes WHERE mailbox>0 AND subscribed;"
	"ALTER TABLE mailboxes DROP COLUMN subscribed";
static const char schema_6[] =
	"CREATE TABLE acl(account INT, mailbox INT, grantee INT,"
	" name TEXT NOT NULL, rights INT NOT NULL,"
	" PRIMARY KEY(account, mailbox, grantee)) WITHOUT ROWID;"
	"CREATE TABLE sharers(account INT, owner TEXT,"
	" PRIMARY KEY(account, owner)) WITHOUT ROWID";
static const char schema_7[] =
	"ALTER TABLE mailboxes ADD COLUMN told_below INT NOT NULL DEFAULT 1;"
	"UPDATE mailboxes SET told_below=uidnext WHERE mailbox>0;"
	"ALTER TABLE messages ADD COLUMN stamp INT;"
	"CREATE TABLE deleted_mailboxes(account INT, mailbox INT,"
	" PRIMARY KEY(account, mailbox)) WITHOUT ROWID";
static const char schema_8[] =
	"CREATE TABLE copying(account INT, mailbox INT, first INT,"
	" last INT NOT NULL, PRIMARY KEY(account, mailbox, first))"
	" WITHOUT ROWID";
static const char *const schema[] = {schema_1, schema_2, schema_3, schema_4,
	schema_5, schema_6, schema_7, schema_8};

bool store_make_tables(struct db *db, struct fault *f)
{
	return db_schema(db, schema, ARRAY_LEN(schema), f);
}

struct store_shard *store_shard_of(struct store *s, int64_t account)
{
	return &s->shards[(uint64_t)account % s->n_shards];
}

void store_blob_path(
	const struct store_shard *shard, int64_t blob, char *out, size_t len)
{
	char text[ID_TEXT];

	id_text((uint64_t)blob, text);
	snprintf(out, len, "%s/%s", shard->blob_dir, text);
}

static bool sweep_files(
	struct store_shard *shard, struct db *db, struct fault *f)
{
	DIR *d = opendir(shard->blob_dir);

	if (d == NULL)
		return fault_sys(f, "open %s", shard->blob_dir);
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		struct fault unread;
		char path[4096];
		uint64_t id;
		int64_t n = 1;

		if (!id_parse(str_from(e->d_name), &id))
			continue;
		/* A page that cannot be read keeps nobody else's mail away. */
		if (!db_number(db, &unread, &n,
			    "SELECT count(*) FROM blobs WHERE blob=?", "i",
			    (int64_t)id)) {
			log_error("bodies of nobody are not looked for",
				log_s("in", str_from(shard->blob_dir)),
				log_fault(&unread));
			break;
		}
		if (n == 0) {
			store_blob_path(shard, (int64_t)id, path, sizeof(path));
			unlink(path);
		}
	}
	closedir(d);
	return true;
}

static bool open_shard(
	struct store_shard *shard, const char *dir, unsigned i, struct fault *f)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/blobs.%u", dir, i);
	shard->blob_dir = must_strdup(path);
	snprintf(path, sizeof(path), "%s/mail.%u.db", dir, i);
	if (!dir_make(shard->blob_dir, 0700, f))
		return false;
	struct db *db = db_open(path, DB_WRITE, f);
	struct fault unread;
	int64_t n_deleted = 0, n_parts = 0;
	if (db == NULL || !store_make_tables(db, f) ||
		!sweep_files(shard, db, f)) {
		db_close(db);
		return false;
	}
	db_number(db, &unread, &n_deleted,
		"SELECT count(*) FROM deleted_mailboxes", "");
	db_number(db, &unread, &n_parts, "SELECT count(*) FROM copying", "");
	shard->committer = committer_new(db);
	shard->readers = readers_new(path);
	if (n_parts > 0 && !store_take_back_parts(shard, f))
		return false;
	if (n_deleted > 0)
		store_sweep(shard);
	return true;
}

static void make_shards(struct store *s, const struct store_settings *settings)
{
	s->shards = must_alloc((s->n_shards + 1) * sizeof(*s->shards));
	for (unsigned i = 0; i < s->n_shards; i++) {
		s->shards[i].settings = *settings;
		pthread_mutex_init(&s->shards[i].lock, NULL);
		pthread_cond_init(&s->shards[i].calm, NULL);
	}
}

/* Each shard has a writer of its own, which commits for all that came while it
 * wrote.  More writers share less: on two CPUs one takes a tenth less work for
 * each message than two, and is as fast. */
static unsigned for_this_machine(void)
{
	long half = sysconf(_SC_NPROCESSORS_ONLN) / 2;

	return half < 1                      ? 1
	       : half > SHARDS_MAX_BY_ITSELF ? SHARDS_MAX_BY_ITSELF
					     : (unsigned)half;
}

/* The number of shards is fixed by the first start. */
static bool fix_shards(
	const char *dir, unsigned wanted, unsigned *n_r, struct fault *f)
{
	struct buf text CLEANUP(buf_fini);
	char path[4096], fresh[32];
	uint64_t have;

	buf_init(&text, 4096);
	snprintf(path, sizeof(path), "%s/shards", dir);
	if (access(path, F_OK) == 0) {
		if (!file_read(path, 64, &text, f))
			return false;
		if (!str_u64(str_trim(buf_str(&text)), &have) || have == 0 ||
			have > 256)
			return fault_set(f, FAULT_TEMP, 451, 3, 0,
				"%s: not a number of shards", path);
		*n_r = (unsigned)have;
		return true;
	}
	*n_r = wanted > 0 && wanted <= 256 ? wanted : for_this_machine();
	snprintf(fresh, sizeof(fresh), "%u\n", *n_r);
	return file_replace(path, str_from(fresh), 0600, f);
}

static bool open_reader(
	struct store_shard *shard, const char *dir, unsigned i, struct fault *f)
{
	char path[4096];
	int64_t version = 0;

	snprintf(path, sizeof(path), "%s/blobs.%u", dir, i);
	shard->blob_dir = must_strdup(path);
	snprintf(path, sizeof(path), "%s/mail.%u.db", dir, i);
	shard->readers = readers_new(path);
	struct db *db = readers_get(shard->readers, f);
	if (db == NULL)
		return false;
	bool ok = db_number(db, f, &version, "PRAGMA user_version", "");
	readers_put(shard->readers, db);
	return ok &&
	       (version == ARRAY_LEN(schema) ||
		       fault_set(f, FAULT_PERM, 0, 3, 0,
			       "%s is of another version of postern "
			       "(format %lld, this one reads %zu)",
			       path, (long long)version, ARRAY_LEN(schema)));
}

static bool find_shards(const char *dir, const struct store_settings *settings,
	unsigned *n_r, struct fault *f)
{
	char path[4096];

	if (!settings->only_read)
		return dir_make(dir, 0700, f) &&
		       fix_shards(dir, settings->shards, n_r, f);
	snprintf(path, sizeof(path), "%s/shards", dir);
	return (access(path, F_OK) == 0 || fault_set(f, FAULT_PERM, 0, 0, 2,
						   "no store in %s", dir)) &&
	       fix_shards(dir, 0, n_r, f);
}

struct store *store_open(
	const char *dir, const struct store_settings *settings, struct fault *f)
{
	struct store *s = must_alloc(sizeof(*s));
	bool ok = find_shards(dir, settings, &s->n_shards, f);

	make_shards(s, settings);
	for (unsigned i = 0; ok && i < s->n_shards; i++)
		ok = (settings->only_read ? open_reader : open_shard)(
			&s->shards[i], dir, i, f);
	if (ok)
		return s;
	store_close(s);
	return NULL;
}

static void wait_until_calm(struct store_shard *shard)
{
	pthread_mutex_lock(&shard->lock);
	shard->closing = true;
	while (shard->sweeping)
		pthread_cond_wait(&shard->calm, &shard->lock);
	pthread_mutex_unlock(&shard->lock);
}

void store_close(struct store *s)
{
	if (s == NULL)
		return;
	for (unsigned i = 0; i < s->n_shards; i++) {
		struct store_shard *shard = &s->shards[i];

		wait_until_calm(shard);
		readers_free(shard->readers);
		committer_free(shard->committer);
		free(shard->blob_dir);
		pthread_mutex_destroy(&shard->lock);
		pthread_cond_destroy(&shard->calm);
	}
	free(s->shards);
	free(s);
}
