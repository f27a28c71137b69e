/* SPDX-License-Identifier: ISC */
#ifndef ROLE_MAILBOX_IMAP_PREFETCH_H
#define ROLE_MAILBOX_IMAP_PREFETCH_H

/*
 * prefetch: the summaries of a chunk of messages, read from the store in one
 * go.  Where the chunk has too many holes, each is read by itself.
 */

#include "role/mailbox/imap/view.h"

struct prefetch {
	struct arena *a; /* of the texts */
	const struct pick *picks;
	size_t n;
	struct {
		bool here;
		int64_t saved;
		struct str cache;
	} v[WALK_CHUNK];
	size_t at; /* in picks, while they are filled */
};

void prefetch_init(struct prefetch *p);
void prefetch_fini(struct prefetch *p);
/* Of the chunk that the walk is at. */
void prefetch_chunk(
	struct prefetch *p, struct imap *s, const struct view_walk *w);
/* False: it is not here; ask the store.  Views until the next chunk. */
bool prefetch_get(const struct prefetch *p, uint32_t uid, int64_t *saved_r,
	struct str *cache_r);

#endif
