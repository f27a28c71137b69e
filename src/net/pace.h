/* SPDX-License-Identifier: ISC */
#ifndef NET_PACE_H
#define NET_PACE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * pace: how the threads of a process are scheduled.
 *
 * While there is little to do, as everybody: who is woken runs at once.  Under
 * load that pushes aside who woke him, a client on this machine or another
 * role, for one request; as batch (sched(7)) they run when their turn comes,
 * and find several.  Where others want the processors, too, such a turn would
 * be long in coming: then as everybody again.  Where the process was given
 * another policy from outside, it keeps that.
 *
 * Only the watch of a crew calls this, but for pace_found.
 */
struct pace {
	bool fixed; /* it is not ours to choose */
	bool batch; /* so it is now */
	unsigned looks; /* since the last decision */
	unsigned found;
	unsigned ticks;
	int64_t late_us; /* of these ticks together */
	bool late; /* at the last decision */
	unsigned rest; /* ticks until batch is tried again */
};

struct pace pace_new(void);

/* Somebody has polled.  Under the crew's lock. */
static inline void pace_found(struct pace *p, unsigned events)
{
	p->looks++;
	p->found += events;
}

/* Sleeps a tick of 2 ms.  True: it is time to decide. */
bool pace_sleep(struct pace *p);
/* The tick came late by so much: how long a thread waits for its turn. */
bool pace_tick(struct pace *p, int64_t late_us);
/* What the threads should be; begins anew.  Under the crew's lock. */
bool pace_decide(struct pace *p);
/* All threads of the process become so. */
void pace_set(struct pace *p, bool batch);

#endif
