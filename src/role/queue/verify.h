/* SPDX-License-Identifier: ISC */
#ifndef ROLE_QUEUE_VERIFY_H
#define ROLE_QUEUE_VERIFY_H

/*
 * verify: does an address of somebody else's exist?  verify(8),
 * ADDRESS_VERIFICATION_README.
 *
 * A probe is a message of the queue that has no text and is in memory only:
 * it takes the route that mail would take, ends behind RCPT, and its outcome
 * is an answer here instead of a report.  Answers are kept in verify.db,
 * which is not flushed.  Any thread.
 */

#include "ipc/messages.h"
#include "role/queue/sched.h"

struct verify;

/* dir: $queue_directory/queue */
struct verify *verify_new(
	struct role *r, struct sched *s, const char *dir, struct fault *f);
/* Waits for an answer wait_ms at most: VERIFY_PENDING.  *text_r: the words of
 * the other server, in the arena. */
enum verify_status verify_ask(struct verify *v, struct str address,
	int64_t wait_ms, struct arena *a, struct str *text_r);
/* The end of a probe, from the scheduler. */
void verify_done(
	struct verify *v, struct str address, const struct outcome_of *o);

#endif
