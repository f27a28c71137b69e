/* SPDX-License-Identifier: ISC */
#ifndef ROLE_AGENT_H
#define ROLE_AGENT_H

/*
 * agent: threads that take jobs from the queue, one at a time each, and bring
 * the outcomes back.  A queue that is restarted is found again.
 */

#include "role/role.h"
#include "sys/text.h"

/* Delivers; fills o with one outcome for each of job->pick.  body is good
 * during the call.  a: for the outcomes' strings. */
typedef void agent_deliver_f(const struct job *job, const struct text *body,
	struct arena *a, struct outcomes *o, void *ctx);

/* No further job; waits for those in hand, which else would be done again. */
void agent_end(struct agent *ag);

/* Threads come as the work does, at most that many, and go when there is none
 * for a while.  role_run ends them. */
void agent_start(struct role *r, enum agent_kind kind, unsigned threads_max,
	agent_deliver_f *deliver, void *ctx);

/* One outcome from a fault, at the i-th of the picked. */
void outcome_fault(struct outcome_of *o, uint32_t n, const struct fault *f,
	struct arena *a);

#endif
