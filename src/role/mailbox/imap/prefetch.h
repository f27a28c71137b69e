/* SPDX-License-Identifier: ISC */
#ifndef ROLE_MAILBOX_IMAP_PREFETCH_H
#define ROLE_MAILBOX_IMAP_PREFETCH_H

/*
 * prefetch: the summaries of a chunk of messages, and their headers where they
 * are asked for, read from the store in one go.  Where the chunk has too many
 * holes, each is read by itself.
 */

#include "role/mailbox/imap/view.h"

struct prefetch {
	struct arena *a; /* of the texts */
	const struct pick *picks;
	size_t n;
	bool heads;
	struct prefetched {
		bool here;
		int64_t saved;
		struct str cache, head;
	} v[WALK_CHUNK];
	size_t at; /* in picks, while they are filled */
};

void prefetch_init(struct prefetch *p);
void prefetch_fini(struct prefetch *p);
/* Of the chunk that the walk is at; parts: STORE_CACHE, perhaps STORE_HEAD. */
void prefetch_chunk(struct prefetch *p, struct imap *s,
	const struct view_walk *w, unsigned parts);
/* False: it is not here; ask the store.  Views until the next chunk. */
bool prefetch_get(const struct prefetch *p, uint32_t uid, int64_t *saved_r,
	struct str *cache_r);
/* The same, of the header as STORE_HEAD gives it. */
bool prefetch_head(const struct prefetch *p, uint32_t uid, struct str *head_r);

#endif
