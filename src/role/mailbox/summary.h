/* SPDX-License-Identifier: ISC */
#ifndef ROLE_MAILBOX_SUMMARY_H
#define ROLE_MAILBOX_SUMMARY_H

/*
 * summary: what clients ask of a message without reading it, made once at its
 * arrival and stored beside the body (store.h: cache), ready to send.
 */

#include "base/arena.h"

struct summary {
	bool dated; /* the Date field reads; then: */
	int64_t sent; /* Unix seconds */
	int zone; /* minutes east */
	uint64_t thread; /* RFC 8474 THREADID: the same for one conversation */
	struct str envelope; /* RFC 9051 7.5.2, in parentheses */
	struct str structure; /* BODYSTRUCTURE */
	struct str preview; /* RFC 8970: UTF-8, at most 200 characters */
	struct str references; /* message ids without <>, blanks between */
};

/* Never fails; what is too large to keep is absent. */
struct str summary_make(struct str message, struct arena *a);
/* False: none was stored, or by another version.  Views into text. */
bool summary_read(struct str text, struct summary *s_r);

/* When it was sent, in one number for the rows of the store, so that nobody has
 * to read summaries for it; 0: that is not known. */
int64_t summary_stamp(struct str text);
/* False: not known. */
bool summary_stamp_read(
	int64_t stamp, bool *dated_r, int64_t *sent_r, int *zone_r);

/* The message ids of a field, without <>, blanks between; in the arena. */
struct str message_ids(struct str value, struct arena *a);

#endif
