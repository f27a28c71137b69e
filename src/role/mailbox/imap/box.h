/* SPDX-License-Identifier: ISC */
#ifndef ROLE_MAILBOX_IMAP_BOX_H
#define ROLE_MAILBOX_IMAP_BOX_H

/*
 * box: the rows of one mailbox in memory, one copy for all sessions that have
 * it selected: 48 bytes a message, loaded when numbers are first needed.
 *
 * Invariants
 * 1. rows stand by UID; they are true to the store up to box->modseq.
 * 2. What vanished stays as a row with ROW_GONE, and in gone[], until every
 *    session has told its client: numbers of others do not move under them.
 * 3. Rows and gone[] are read and written under box->lock; a keyword text,
 *    once named by a row, lives as long as the box.
 */

#include <pthread.h>

#include "base/fault.h"
#include "base/map.h"
#include "store/store.h"

enum { ROW_GONE = 1u << 30 };

struct box_row {
	uint32_t uid;
	uint32_t flags; /* of store.h, and ROW_GONE */
	uint32_t keywords; /* index into box->words */
	uint32_t size;
	int64_t received;
	int64_t blob;
	int64_t stamp; /* summary.h */
	uint64_t modseq;
};

struct box_gone {
	uint32_t uid;
	uint64_t modseq; /* of its end */
};

struct facts;
struct box_user; /* a session's hold on a box */
struct boxes;

struct box {
	pthread_rwlock_t lock;
	struct store *store;
	int64_t account, mailbox;
	uint32_t uidvalidity; /* 0: not read yet */
	uint64_t modseq;
	uint64_t changed; /* no row below the newest has a higher modseq */
	bool loaded;
	struct box_row *rows;
	size_t n, cap;
	struct box_gone *gone; /* by UID */
	size_t n_gone, cap_gone;
	uint64_t gone_oldest, gone_newest; /* MODSEQs of ends among them */
	const char **words; /* texts of keywords; [0] is "" */
	size_t n_words, cap_words;
	struct map *word_index;
	/* recent.h: sessions were told of what is below this UID, and the store
	 * knows of what is below that; atomic */
	uint32_t told, told_stored;
	/* facts.h: made at the first SORT; a lock of its own */
	pthread_mutex_t facts_lock;
	struct facts *facts;
	/* under the lock of boxes */
	struct box_user *users;
	struct box *next;
};

struct box_user {
	uint64_t expunged; /* what ended up to here is told */
	struct box_user *next;
};

struct boxes *boxes_new(struct store *store);
struct box *boxes_get(struct boxes *b, int64_t account, int64_t mailbox,
	struct box_user *user);
void boxes_put(struct boxes *b, struct box *box, struct box_user *user);

/* Sessions were told of the messages below this UID (recent.h). */
uint32_t box_told(const struct box *box);
/* Now, of those below next; what it was before. */
uint32_t box_tell(struct box *box, uint32_t next);
/* The store has it so; it is so at least. */
void box_tell_stored(struct box *box, uint32_t stored);
/* Is there more than the store knows?  It is taken as known then. */
bool box_tell_unstored(struct box *box, uint32_t *told_r);
/* Of a mailbox that somebody has selected; 0: nobody. */
uint32_t boxes_told(struct boxes *b, int64_t account, int64_t mailbox);

/* Takes over what the store has meanwhile.  *deleted_r: the mailbox itself is
 * gone, or has another UIDVALIDITY: an import brought it.  Any thread. */
bool box_refresh(
	struct boxes *b, struct box *box, bool *deleted_r, struct fault *f);

/* The functions below: with the lock held. */
/* First row whose UID is not below uid. */
size_t box_lower(const struct box *box, uint32_t uid);
/* NULL: there never was such a row, or it is forgotten. */
const struct box_row *box_find(const struct box *box, uint32_t uid);
/* Entries of gone[] whose UID is below uid. */
size_t box_gone_below(const struct box *box, uint32_t uid);
/* When it vanished; 0: it did not. */
uint64_t box_gone_at(const struct box *box, uint32_t uid);

#endif
