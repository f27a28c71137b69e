/* SPDX-License-Identifier: ISC */
#ifndef STORE_STORE_H
#define STORE_STORE_H

/*
 * store: the mailboxes.
 *
 * A function that returns true has its change on disk; one flush serves all
 * that finish together.  Any thread may call.  A change concerns one account.
 *
 * UIDs are never reused and UIDVALIDITY never changes; a deleted and newly
 * made mailbox has a new UIDVALIDITY.  MODSEQ only grows.
 */

#include "base/arena.h"
#include "base/buf.h"
#include "base/fault.h"

struct store;

struct store *store_open(const char *dir, unsigned shards, struct fault *f);
void store_close(struct store *s);

enum store_flag {
	FLAG_SEEN = 1u << 0,
	FLAG_ANSWERED = 1u << 1,
	FLAG_FLAGGED = 1u << 2,
	FLAG_DELETED = 1u << 3,
	FLAG_DRAFT = 1u << 4,
	FLAG_SYSTEM = 0x1fu,
};

/* Special use of RFC 6154 */
enum store_role {
	ROLE_NONE,
	ROLE_DRAFTS,
	ROLE_SENT,
	ROLE_JUNK,
	ROLE_TRASH,
	ROLE_ARCHIVE
};

struct store_mailbox {
	int64_t id;
	struct str name; /* UTF-8, "/" between levels */
	enum store_role role;
	bool subscribed;
	uint32_t uidvalidity;
	uint32_t uidnext;
	uint64_t modseq; /* highest of this mailbox */
	uint64_t n_exists;
	uint64_t n_unseen;
	uint64_t bytes;
};

/* ---- mailboxes ---- */

/* All of an account, by name; made with the defaults at the first touch. */
bool store_mailboxes(struct store *s, int64_t account, struct arena *a,
	struct store_mailbox **v_r, size_t *n_r, struct fault *f);

enum store_change {
	STORE_CREATE,
	STORE_DELETE,
	STORE_RENAME,
	STORE_SUBSCRIBE,
	STORE_UNSUBSCRIBE
};
/* to: the new name of a RENAME.  FAULT_PERM: it exists, or does not. */
bool store_change_mailbox(struct store *s, int64_t account,
	enum store_change change, struct str name, struct str to,
	struct fault *f);

/* ---- messages ---- */

struct store_new {
	struct str mailbox; /* by name; made when missing with .create */
	bool create;
	enum store_role use; /* not NONE: the mailbox with this special use
				comes before the name */
	uint32_t flags;
	struct strs keywords;
	int64_t received; /* Unix seconds */
	struct str prefix; /* header lines in front of the body */
	struct str body;
	struct str cache; /* see role: ENVELOPE and structure, ready to send */
	int64_t msg; /* id of the message; 0: a new one.  A second delivery
		      * of the same id into a mailbox is no error and no copy */
};
/* One message into one mailbox; uid and uidvalidity come back. */
bool store_deliver(struct store *s, int64_t account, const struct store_new *m,
	uint32_t *uid_r, uint32_t *uidvalidity_r, struct fault *f);
/* The same message into many accounts: one body per shard. */
struct store_target {
	int64_t account;
	const struct store_new *m;
	bool ok;
	struct fault fault;
};
void store_deliver_many(
	struct store *s, struct store_target *targets, size_t n);

struct store_row {
	uint32_t uid;
	uint32_t flags;
	uint64_t modseq;
	uint64_t size;
	int64_t received;
	struct strs keywords;
};
/* Rows with modseq above since, by UID; 0 gives all. */
typedef void store_row_f(const struct store_row *row, void *ctx);
bool store_rows(struct store *s, int64_t account, int64_t mailbox,
	uint64_t since, struct arena *a, store_row_f *fn, void *ctx,
	struct fault *f);
/* UIDs that vanished after modseq since. */
bool store_vanished(struct store *s, int64_t account, int64_t mailbox,
	uint64_t since, void (*fn)(uint32_t uid, void *ctx), void *ctx,
	struct fault *f);

/* Bytes of a message, prefix and body as one. */
struct store_message {
	struct str bytes;
	struct str cache;
	char *memory; /* what store_message_fini frees */
};
enum store_part { STORE_CACHE = 1, STORE_BYTES = 2 };
/* False with FAULT_PERM when it is gone. */
bool store_message(struct store *s, int64_t account, int64_t mailbox,
	uint32_t uid, unsigned parts, struct store_message *m_r,
	struct fault *f);
void store_message_fini(struct store_message *m);

enum store_flag_op { FLAGS_SET, FLAGS_ADD, FLAGS_REMOVE };
/* uids ascending.  What is gone is skipped. */
bool store_flags(struct store *s, int64_t account, int64_t mailbox,
	const uint32_t *uids, size_t n, enum store_flag_op op, uint32_t flags,
	const struct strs *keywords, struct fault *f);
/* Copies or moves; to_r[i] is the new UID of uids[i], 0 where it was gone. */
bool store_copy(struct store *s, int64_t account, int64_t mailbox,
	const uint32_t *uids, size_t n, struct str to, bool move,
	uint32_t *to_r, uint32_t *uidvalidity_r, struct fault *f);
bool store_expunge(struct store *s, int64_t account, int64_t mailbox,
	const uint32_t *uids, size_t n, struct fault *f);

#endif
