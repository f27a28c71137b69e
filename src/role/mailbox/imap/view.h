/* SPDX-License-Identifier: ISC */
#ifndef ROLE_MAILBOX_IMAP_VIEW_H
#define ROLE_MAILBOX_IMAP_VIEW_H

/*
 * view: what one session's client knows of its selected mailbox: which of the
 * rows of the box it has numbers for, and up to when it was told of changes.
 * SELECT makes a view of counters only; the box is loaded when numbers are
 * needed.
 *
 * A client's message n is the n-th row of the box that is not above max_uid
 * and whose end, if any, it was not told of.
 */

#include "codec/imap/parse.h"
#include "role/mailbox/imap/recent.h"

struct imap;
struct imap_place;

struct view {
	struct box *box; /* NULL: none selected */
	struct box_user user; /* .expunged: ends are told up to here */
	char *name;
	bool read_only;
	unsigned rights; /* store_right, as they were at the last command */
	bool anyone; /* of struct imap_place */
	uint32_t uidvalidity;
	uint64_t modseq; /* flags are told up to here */
	uint32_t max_uid; /* the newest it was told of */
	size_t n; /* EXISTS, as it was told */
	struct recent recent;
};

enum { PICK_RECENT = 1u << 29 }; /* beside ROW_GONE */

/* One message, copied out of the box. */
struct pick {
	uint32_t seq;
	uint32_t uid;
	uint32_t flags; /* of store.h, ROW_GONE, PICK_RECENT */
	uint32_t size;
	int64_t received;
	int64_t blob;
	int64_t stamp; /* summary.h */
	uint64_t modseq;
	const char *keywords; /* good while the view is open */
};

/* Of the place that a name led to; what it holds may be gone (found_r), else
 * its box is as it is now. */
bool view_open(struct imap *s, struct imap_place *p, bool read_only,
	bool *found_r, struct fault *f);
void view_close(struct imap *s);

/* Loads what the store has meanwhile, and tells nobody.  False with FAULT_PERM
 * when the mailbox is gone. */
bool view_refresh(struct imap *s, struct fault *f);

/* Changes of others the client is told of; what it did itself it knows. */
struct view_own {
	const uint32_t *uids; /* ascending */
	size_t n;
	uint64_t modseq; /* of its change */
};
/* Takes over what others did and tells the client.  expunges: may numbers
 * change now? RFC 3501 7.4.1 */
bool view_sync(struct imap *s, bool expunges, const struct view_own *own,
	struct fault *f);

/* ---- walking through a set ---- */

enum { WALK_CHUNK = 128 };

struct view_walk {
	struct imap *s;
	bool by_uid;
	struct imap_range *ranges; /* ascending, apart, without "*" */
	size_t n_ranges;
	size_t range;
	bool inside; /* of the range; then uid and seq are where to go on */
	uint32_t uid, seq;
	struct pick chunk[WALK_CHUNK];
	size_t n, at;
};
/* All that the client knows of set, by number.  False: a number is beyond the
 * mailbox (RFC 3501 9).  In the arena of the command. */
bool view_walk(struct imap *s, const struct imap_set *set, bool by_uid,
	struct view_walk **w_r);
void view_walk_all(struct imap *s, struct view_walk **w_r);
/* NULL at the end; good until the next call. */
const struct pick *view_next(struct view_walk *w);
/* Was that the first of a chunk?  Then it is time to fetch for all of it. */
bool view_at_chunk(const struct view_walk *w);
/* The UIDs of the set; in the arena. */
uint32_t *view_uids(struct view_walk *w, size_t *n_r);
/* One message as it is now; false when it is not in the view. */
bool view_pick(struct imap *s, uint32_t uid, struct pick *pick_r);

/* The highest UID, for "*"; 0: none. */
uint32_t view_last_uid(struct imap *s);

/* "(\Seen x)" */
void view_put_flags(uint32_t flags, const char *keywords, struct buf *out);
/* "(\Seen x)" to bits and keywords; false: an unknown system flag */
bool imap_flags_parse(const struct strs *words, struct arena *a,
	uint32_t *flags_r, struct strs *keywords_r);

#endif
