/* SPDX-License-Identifier: ISC */
#ifndef STORE_SQLITE_PRIVATE_H
#define STORE_SQLITE_PRIVATE_H

/* Shared by the files of the SQLite engine of store.h. */

#include <pthread.h>

#include "db/db.h"
#include "store/store.h"
#include "sys/file.h"

enum { STORE_ROW_MAX = 64 * 1024 };

struct store_shard {
	struct committer *committer;
	struct readers *readers;
	char *blob_dir;
	struct store_settings settings;
	unsigned deliveries; /* of who commits: when to prune */
	pthread_mutex_t lock;
	/* sqlite_sweep.c, under the lock */
	bool sweeping, sweep_wanted;
	bool closing; /* no further part */
	pthread_cond_t calm; /* sweeping ended */
};

struct store {
	unsigned n_shards;
	struct store_shard *shards;
};

struct store_shard *store_shard_of(struct store *s, int64_t account);
void store_blob_path(
	const struct store_shard *shard, int64_t blob, char *out, size_t len);

/* Fills in STORE_FIRST_UNSEEN of a mailbox that was just read. */
bool store_find_unseen(struct store_shard *shard, int64_t account,
	struct store_mailbox *box, struct fault *f);
/* How much all of an account is: n_exists and bytes. */
bool store_read_together(struct db *db, int64_t account,
	struct store_mailbox *all_r, struct fault *f);
/* STORE_TOLD */
bool store_tell(struct store_shard *shard, int64_t account, int64_t mailbox,
	uint32_t below, struct fault *f);

/* Inside of a transaction. */
bool store_ensure_account(struct db *db, int64_t account, struct fault *f);
bool store_find_mailbox(struct db *db, int64_t account, struct str name,
	int64_t *mailbox_r, struct fault *f); /* 0: there is none */
/* All of an account, by name. */
bool store_read_mailboxes(struct db *db, int64_t account, struct arena *a,
	struct store_mailbox **v_r, size_t *n_r, struct fault *f);
bool store_make_mailbox(struct db *db, int64_t account, struct str name,
	enum store_role role, int64_t *mailbox_r, struct fault *f);
/* A new mailbox has the rights of the one above. */
bool store_inherit_acl(struct db *db, int64_t account, int64_t from, int64_t to,
	struct fault *f);
/* RFC 9051 6.3.7; the name may be there already. */
bool store_subscribe(
	struct db *db, int64_t account, struct str name, struct fault *f);
bool store_next_uidvalidity(
	struct db *db, int64_t account, int64_t *v_r, struct fault *f);
bool store_next_modseq(
	struct db *db, int64_t account, int64_t *modseq_r, struct fault *f);

/* ---- a row of messages, or of removed ---- */

struct store_record {
	uint32_t flags;
	int64_t size, received, saved, blob, stamp;
	struct str keywords, prefix;
	sqlite3_stmt *q; /* what the texts lean on */
};
/* 1: it is there, and db_reset of .q is the caller's; 0: it is not; below: the
 * fault says why. */
int store_record(struct db *db, int64_t account, int64_t mailbox, int64_t uid,
	struct store_record *m_r, struct fault *f);
bool store_insert(struct db *db, int64_t account, int64_t mailbox, int64_t uid,
	int64_t modseq, const struct store_record *m, struct fault *f);

/* One message that ends, in an account's mailbox: its blob loses a reference,
 * and a file that lost its last goes to gone; or, with keep, it stays in
 * removed for a while (where the store keeps what was removed). */
struct store_end {
	struct store_shard *shard;
	int64_t account, mailbox;
	bool keep;
	struct arena *a;
	struct strs *gone;
};
bool store_end_record(struct db *db, const struct store_end *x, int64_t uid,
	const struct store_record *m, struct fault *f);
/* Expunges one: as an EXPUNGE of it, with this modseq. */
bool store_drop(struct db *db, const struct store_end *x, int64_t uid,
	int64_t modseq, struct fault *f);
/* What was in removed for long enough goes. */
bool store_purge(struct db *db, struct store_shard *shard, int64_t account,
	struct arena *a, struct strs *gone, struct fault *f);
/* One reference less; a file that lost its last goes to gone. */
bool store_unref(struct db *db, struct store_shard *shard, int64_t blob,
	struct arena *a, struct strs *gone, struct fault *f);
void store_unlink(const struct strs *gone);

/* EXPUNGE, in parts; keep: as with store_end. */
bool store_end_uids(struct store_shard *shard, int64_t account, int64_t mailbox,
	const uint32_t *uids, size_t n, bool keep, struct fault *f);

/* sqlite_parts.c: the UIDs that one part of a copy gave, all between them;
 * first 0: none. */
struct store_given {
	uint32_t first, last;
};
bool store_note_part(struct db *db, int64_t account, int64_t mailbox,
	const struct store_given *p, struct fault *f);
bool store_forget_part(struct db *db, int64_t account, int64_t mailbox,
	const struct store_given *p, struct fault *f);
/* When the store opens. */
bool store_take_back_parts(struct store_shard *shard, struct fault *f);

/* What changes in the counters of a mailbox: invariants 4, 6, 9. */
struct store_count {
	int64_t exists, unseen, deleted, bytes;
	int64_t uids; /* that were given */
	int64_t below; /* those below seen_below */
};
bool store_count(struct db *db, int64_t account, int64_t mailbox,
	int64_t modseq, const struct store_count *c, struct fault *f);
/* One message more: counts it and gives it its UID. */
bool store_count_new(struct db *db, int64_t account, int64_t mailbox,
	int64_t modseq, uint32_t flags, int64_t bytes, int64_t *uid_r,
	int64_t *uidvalidity_r, struct fault *f);

/* Mailboxes that were deleted: their messages go, in parts, behind the work of
 * others. */
void store_sweep(struct store_shard *shard);

/* Is there room for so much more? */
bool store_within(struct db *db, int64_t account,
	const struct store_quota *quota, uint64_t bytes, uint64_t messages,
	struct fault *f);

#endif
