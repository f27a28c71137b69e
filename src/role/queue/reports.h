/* SPDX-License-Identifier: ISC */
#ifndef ROLE_QUEUE_REPORTS_H
#define ROLE_QUEUE_REPORTS_H

/* reports: what the sender of a message is told, as messages of their own. */

#include "codec/mail/dsn.h"
#include "queue/queue.h"

struct sched;

struct reports {
	/* Told about, and who is told: the caller fills them in. */
	struct dsn_rcpt *rcpts;
	struct str *to;
	size_t n_rcpts;
	struct queue_report *v;
	uint32_t n;
	struct buf *bodies;
};

/* The envelopes lean on env and the arena, the bodies stay until the end. */
void reports_make(struct reports *r, struct sched *s,
	const struct envelope *env, int64_t now, struct arena *a);
void reports_fini(struct reports *r);

#endif
