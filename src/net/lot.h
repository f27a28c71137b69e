/* SPDX-License-Identifier: ISC */
#ifndef NET_LOT_H
#define NET_LOT_H

/*
 * lot: where parked seats stand, without a thread: by the descriptor that wakes
 * them, by deadline, and in the order in which they came.  Part of crew; all of
 * it is under the crew's lock, but the wait at `epoll` itself.
 */

#include "net/crew.h"
#include "net/deadlines.h"

/*
 * An epoll event names descriptor and generation, never the seat itself: by
 * the time it is looked at, a bell may have served and freed the session.
 */
struct slot {
	struct seat *seat; /* NULL: it is served, or nobody's */
	struct seat *heir; /* crew_become */
	uint32_t generation;
	bool in_epoll; /* for its own session */
	bool armed; /* it tells of bytes */
};

struct lot {
	int epoll;
	int wake; /* eventfd: who waits would sleep too long */
	int64_t armed_ms; /* when the wait ends; 0: nobody waits, or not for
			     long: it is interrupted */
	unsigned long waits; /* their number */
	struct slot *slots; /* every seat, by descriptor */
	int n_slots;
	uint32_t generation;
	struct deadlines deadlines;
	struct seat *fresh_first; /* not quiet for long, by time */
	struct seat *fresh_last;
};

void lot_init(struct lot *lot);

/* The descriptor is a new session's. */
void lot_enter(struct lot *lot, struct seat *s);
/* Its session becomes another one. */
void lot_inherit(struct lot *lot, struct seat *heir);
/* The descriptor is nobody's from now on; it is closed next. */
void lot_forget(struct lot *lot, struct seat *s);
/* Whoever serves it may free it at any moment: no event finds it. */
void lot_leave(struct lot *lot, struct seat *s);

/* how: NEXT_PARK, NEXT_AWAIT or NEXT_SLEEP. */
void lot_park(struct lot *lot, struct seat *s, enum next how);
void lot_unpark(struct lot *lot, struct seat *s);

/* Connections to accept here wake who waits. */
void lot_listen(struct lot *lot, int listen_fd, unsigned listener);
/* Whom the event with this key wakes; NULL: nobody.  *listener_r: who has
 * connections to accept, -1: none. */
struct seat *lot_told(struct lot *lot, uint64_t key, int *listener_r);

/* A seat whose deadline is over, or NULL. */
struct seat *lot_due(struct lot *lot, int64_t now_ms);
/* One that has been quiet for long enough to give memory back, or NULL; it is
 * not told of again before it was served. */
struct seat *lot_quiet(struct lot *lot, int64_t now_ms);
/* Who waits wakes at once. */
void lot_interrupt(struct lot *lot);
/* Somebody begins to wait: how long, until the next of either or most_ms.  Who
 * is parked before that ends may have read what the wait tells of. */
int64_t lot_wait_ms(struct lot *lot, int64_t now_ms, int64_t most_ms);

#endif
