/* SPDX-License-Identifier: ISC */
#ifndef CODEC_IMAP_THREAD_H
#define CODEC_IMAP_THREAD_H

/*
 * imap_thread: messages arranged as conversations.
 *
 * RFC 5256 3: ORDEREDSUBJECT, REFERENCES; draft-ietf-morg-inthread: REFS (the
 * references alone, the most recent conversation last).
 *
 * Pure; no recursion, whatever the messages say of each other.
 */

#include "base/arena.h"
#include "base/buf.h"

enum imap_thread_kind { THREAD_ORDEREDSUBJECT, THREAD_REFERENCES, THREAD_REFS };

struct imap_thread_message {
	uint32_t number; /* what is told of it, above 0 */
	int64_t date; /* sent, or else arrived; Unix seconds */
	uint32_t subject; /* base subjects in their order, equal ones the same;
			   * 0: empty */
	bool reply; /* of base_subject */
	uint64_t id; /* a number for the message id; 0: none.  Numbers are
		      * scattered: nobody can choose some that collide. */
	const uint64_t *references; /* the oldest first */
	size_t n_references;
};

/* v by arrival.  Puts "(1)(2 (3)(4))". */
void imap_thread_put(enum imap_thread_kind kind,
	const struct imap_thread_message *v, size_t n, struct arena *a,
	struct buf *out);

#endif
