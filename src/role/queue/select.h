/* SPDX-License-Identifier: ISC */
#ifndef ROLE_QUEUE_SELECT_H
#define ROLE_QUEUE_SELECT_H

/* select: messages on disk that are like what a person said, page by page. */

#include "role/queue/sched_private.h"

/* Is one of them like that?  a: for the routes that are looked up. */
bool select_has(struct sched *s, const struct queue_request *r,
	const struct queue_record *m, struct arena *a);

/* Goes through all of them, oldest first. */
struct selecting {
	uint64_t after;
	bool over;
};
/* The next page: of at most max records those that are like that, maybe none.
 * False: the disk could not be read. */
bool select_page(struct sched *s, const struct queue_request *r,
	struct selecting *at, size_t max, struct arena *a,
	struct queue_record **v_r, size_t *n_r, struct fault *f);

/* Of a recipient: its domain, "@domain" for all below it too. */
bool select_is_in_domain(struct str address, struct str domain);

#endif
