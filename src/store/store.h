/* SPDX-License-Identifier: ISC */
#ifndef STORE_STORE_H
#define STORE_STORE_H

/*
 * store: the mailboxes.
 *
 * A function that returns true has its change on disk; one flush serves all
 * that finish together.  Any thread may call.  A change concerns one account.
 *
 * UIDs are never reused and UIDVALIDITY never changes once a UID was given
 * (before that, an import may bring one); a deleted and newly made mailbox has
 * a new UIDVALIDITY and a new id.  MODSEQ only grows, from 1.
 */

#include "base/arena.h"
#include "base/buf.h"
#include "base/fault.h"

struct store;

struct store_settings {
	/* Of a store that is new; 0: as many as suit the machine. */
	unsigned shards;
	/* A store, or a copy of one, that is only read: nothing is made or
	 * brought up to date, and what changes may not be called. */
	bool only_read;
	/* Expunged messages can be brought back for so long (undelete.h);
	 * 0: not. */
	int64_t keep_removed_s;
	/* No CREATE or RENAME makes more in an account; 0: no limit. */
	int64_t mailboxes_max;
};
struct store *store_open(const char *dir, const struct store_settings *settings,
	struct fault *f);
void store_close(struct store *s);

enum store_flag {
	FLAG_SEEN = 1u << 0,
	FLAG_ANSWERED = 1u << 1,
	FLAG_FLAGGED = 1u << 2,
	FLAG_DELETED = 1u << 3,
	FLAG_DRAFT = 1u << 4,
	FLAG_SYSTEM = 0x1fu,
};

/* Octets of the keywords of one message with blanks between: sessions hold them
 * in memory.  More: FAULT_PERM, detail 5. */
enum { STORE_KEYWORDS_MAX = 8192 };

/* Special use of RFC 6154 and RFC 8457 */
enum store_role {
	ROLE_NONE,
	ROLE_DRAFTS,
	ROLE_SENT,
	ROLE_JUNK,
	ROLE_TRASH,
	ROLE_ARCHIVE,
	ROLE_ALL,
	ROLE_FLAGGED,
	ROLE_IMPORTANT,
	STORE_ROLES
};

struct store_mailbox {
	int64_t id; /* never given to another mailbox of the account */
	struct str name; /* UTF-8, "/" between levels */
	enum store_role role;
	bool subscribed;
	uint32_t uidvalidity; /* unlike that of any other of the account */
	uint32_t uidnext;
	uint64_t modseq; /* highest of this mailbox */
	uint64_t n_exists;
	uint64_t n_unseen;
	uint64_t n_deleted; /* with FLAG_DELETED */
	uint64_t bytes;
	/* All below this UID are seen, and there are n_below of them. */
	uint32_t seen_below;
	uint64_t n_below;
	uint32_t told_below; /* STORE_TOLD */
	/* only where asked for: struct store_which */
	uint32_t first_unseen; /* 0: there is none */
	uint64_t before_unseen; /* messages in front of it */
	uint64_t deleted_bytes; /* of those with FLAG_DELETED */
};

/* ---- mailboxes ---- */

/* All of an account, by name; made with the defaults at the first touch.
 * subscribed_r (NULL is fine): the names it is subscribed to, by name; not each
 * is a mailbox. */
bool store_mailboxes(struct store *s, int64_t account, struct arena *a,
	struct store_mailbox **v_r, size_t *n_r, struct strs *subscribed_r,
	struct fault *f);

enum store_also { STORE_FIRST_UNSEEN = 1, STORE_DELETED_BYTES = 2 };
struct store_which {
	int64_t id; /* 0: by name */
	struct str name; /* absent, with id 0: all of the account together */
	unsigned also; /* store_also: what counters do not tell */
};
/* By id: without its name, FAULT_PERM when it is gone.  By name: made with the
 * defaults as above; id 0, there is none.  Of all together: n_exists, bytes. */
bool store_mailbox(struct store *s, int64_t account, struct store_which which,
	struct store_mailbox *box_r, struct fault *f);

enum store_change_kind {
	STORE_CREATE,
	STORE_DELETE,
	STORE_RENAME,
	STORE_SUBSCRIBE,
	STORE_UNSUBSCRIBE,
	/* Clients were told of the messages below a UID: they are no longer
	 * \Recent.  RFC 3501 2.3.2 */
	STORE_TOLD
};
struct store_change {
	enum store_change_kind kind;
	struct str name; /* of all but TOLD */
	struct str to; /* RENAME: the new name */
	enum store_role role; /* CREATE: the special use */
	int64_t mailbox; /* TOLD */
	uint32_t below; /* TOLD */
};
/* SUBSCRIBE and UNSUBSCRIBE need no mailbox of that name.  A RENAME of INBOX
 * moves what is there, in parts: where it fails, some may have moved.
 * FAULT_PERM: it exists (detail 1), or does not (2), or another one has that
 * special use (4), or too many names without a mailbox are subscribed (5). */
bool store_change_mailbox(struct store *s, int64_t account,
	const struct store_change *change, struct fault *f);

/* ---- messages ---- */

/* What an account may hold; 0: no limit.  Beyond it: FAULT_PERM, 5.2.2. */
struct store_quota {
	uint64_t bytes, messages;
};
struct store_new {
	struct str mailbox; /* by name; made when missing with .create */
	bool create;
	enum store_role use; /* not NONE: the mailbox with this special use
				comes before the name */
	uint32_t flags;
	struct strs keywords;
	int64_t received; /* Unix seconds */
	struct store_quota quota;
	struct str prefix; /* header lines in front of the body */
	struct str body;
	struct str cache; /* of the body, see role: ready to send */
	int64_t stamp; /* of the body, see role: comes back in its row */
	/* id of the message; 0: a new one.  A second delivery of the same id
	 * into a mailbox is no error and no copy; that is known for 30 days,
	 * of negative ids (imports) for ever. */
	int64_t msg;
	/* What an import had elsewhere; uid 0: nothing.  Kept where the mailbox
	 * has that UIDVALIDITY, or can take it, and the UID is not given yet;
	 * a message of the same size and date that has it is the same: no
	 * copy. */
	uint32_t uidvalidity, uid;
	/* REPLACE of RFC 8508: goes in the same transaction; 0: none */
	int64_t instead_mailbox;
	uint32_t instead_uid;
	/* Said by the first target, for all of its delivery: one of several
	 * that belong together, into one mailbox.  Where .more are to come, it
	 * is taken back when the store is opened again; the last one names the
	 * first UID of each of those. */
	bool more;
	const uint32_t *parts;
	size_t n_parts;
};
struct store_target {
	int64_t account;
	const struct store_new *m;
	bool ok;
	struct fault fault;
	/* where it is; uid 0: it was there before */
	int64_t mailbox;
	uint32_t uid;
	uint32_t uidvalidity;
};
/* All targets of one shard in one transaction: all of one account come, or
 * none.  Neighbours with the same body pointer share it on disk.  Sorts.
 *
 * done is called when all are told, by the caller or by a thread that commits
 * for others, too: it may not wait for a change of the store.  Until then
 * targets, and what they point to, stay.  Who waits: store_deliver of
 * message.h. */
typedef void store_done_f(void *ctx);
void store_post(struct store *s, struct store_target *targets, size_t n,
	store_done_f *done, void *ctx);

struct store_row {
	uint32_t uid;
	uint32_t flags;
	uint64_t modseq;
	uint64_t size;
	int64_t received;
	int64_t blob; /* what copies share: the same bytes, the same number */
	int64_t stamp; /* as it was given; 0: it was not */
	struct str keywords; /* blanks between; good in the call only */
};
/* Rows with modseq above since; 0 gives all from this UID on.  By UID, until fn
 * returns false. */
typedef bool store_row_f(const struct store_row *row, void *ctx);
bool store_rows(struct store *s, int64_t account, int64_t mailbox,
	uint64_t since, uint32_t from_uid, store_row_f *fn, void *ctx,
	struct fault *f);
/* UIDs that vanished after modseq since, and when; by modseq. */
typedef void store_vanished_f(uint32_t uid, uint64_t modseq, void *ctx);
bool store_vanished(struct store *s, int64_t account, int64_t mailbox,
	uint64_t since, store_vanished_f *fn, void *ctx, struct fault *f);

/* Bytes of a message, prefix and body as one. */
struct store_message {
	struct str bytes; /* STORE_BYTES, or STORE_HEAD: the header alone, with
			   * the blank line behind it */
	struct str cache; /* absent: none was given */
	int64_t blob; /* of store_row */
	int64_t saved; /* Unix seconds */
	char *memory; /* what store_message_fini frees */
};
enum store_part { STORE_CACHE = 1, STORE_BYTES = 2, STORE_HEAD = 4 };
/* Messages of an account read behind each other, as it was at the first: one
 * look at the locks for all.  For moments: meanwhile the log of the shard
 * grows.  A body that went meanwhile is a FAULT_TEMP; who reads one alone
 * (message.h) is told that it is gone. */
struct store_reading;
struct store_reading *store_read_begin(
	struct store *s, int64_t account, struct fault *f);
/* False with FAULT_PERM when it is gone.  message.h: store_message_fini */
bool store_read_message(struct store_reading *r, int64_t mailbox, uint32_t uid,
	unsigned parts, struct store_message *m_r, struct fault *f);
void store_read_end(struct store_reading *r); /* NULL is fine */

/* Summaries from one UID to another, by UID, and headers with STORE_HEAD among
 * the parts; views that are good in the call only.  fn must not wait. */
struct store_glimpse {
	uint32_t uid;
	int64_t saved;
	struct str cache;
	struct str prefix; /* lines in front of the header */
	struct str head;
};
typedef void store_glimpse_f(const struct store_glimpse *g, void *ctx);
bool store_glimpses(struct store *s, int64_t account, int64_t mailbox,
	uint32_t from_uid, uint32_t to_uid, unsigned parts, store_glimpse_f *fn,
	void *ctx, struct fault *f);

enum store_flag_op { FLAGS_SET, FLAGS_ADD, FLAGS_REMOVE };
struct store_flags {
	enum store_flag_op op;
	uint32_t flags;
	struct strs keywords;
	uint32_t kept; /* flags that stay as they are, whatever is said */
	bool keywords_kept;
	bool conditional; /* RFC 7162 3.1.3: only where modseq <= unchanged */
	uint64_t unchanged;
	bool *failed; /* out, one per uid, where conditional; the caller's */
	uint64_t modseq; /* out: what the changed have now */
};
/* uids ascending.  What is gone is skipped. */
bool store_flags(struct store *s, int64_t account, int64_t mailbox,
	const uint32_t *uids, size_t n, struct store_flags *change,
	struct fault *f);
/* Copies (within the quota; NULL: none) or moves; to_r[i] is the new UID of
 * uids[i], 0 where it was gone.  Many go in parts, and others see them come: a
 * copy that fails is taken back, a move that fails says in to_r what moved. */
bool store_copy(struct store *s, int64_t account, int64_t mailbox,
	const uint32_t *uids, size_t n, struct str to, bool move,
	const struct store_quota *quota, uint32_t *to_r,
	uint32_t *uidvalidity_r, struct fault *f);
/* Many go in parts; false: some may be gone. */
bool store_expunge(struct store *s, int64_t account, int64_t mailbox,
	const uint32_t *uids, size_t n, struct fault *f);

#endif
