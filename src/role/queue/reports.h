/* SPDX-License-Identifier: ISC */
#ifndef ROLE_QUEUE_REPORTS_H
#define ROLE_QUEUE_REPORTS_H

/* reports: what the sender of a message is told, as messages of their own. */

#include "codec/mail/dsn.h"
#include "queue/queue.h"

struct sched;

/* One for each of failed, delayed, delivered, relayed, and the postmaster's
 * copies. */
enum { REPORTS_MAX = 6 };

struct reports {
	struct dsn_rcpt *rcpts; /* told about; the caller fills them in */
	size_t n_rcpts;
	struct queue_report v[REPORTS_MAX];
	uint32_t n;
	struct buf bodies[REPORTS_MAX];
};

/* The envelopes lean on env and the arena, the bodies stay until the end. */
void reports_make(struct reports *r, struct sched *s,
	const struct envelope *env, int64_t now, struct arena *a);
void reports_fini(struct reports *r);

#endif
