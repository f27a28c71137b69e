/* SPDX-License-Identifier: ISC */
#ifndef NET_CREW_H
#define NET_CREW_H

/*
 * crew: worker threads and the parking lot.
 *
 * A session is straight blocking code that a worker runs until it returns
 * one of the words below.  A parked session costs no thread: the lot holds it
 * until bytes arrive, its deadline passes, or somebody rings.  A session
 * belongs to the lot or to exactly one worker.
 *
 * A worker goes from one session to the next without sleeping in between, so
 * one that waits within a session for somebody else holds up others: it says so
 * (sys/waiting.h), and another worker takes over.  What does not say so holds
 * them up for a few milliseconds, then another worker takes over, too.
 */

#include <stdbool.h>
#include <stdint.h>

enum next {
	NEXT_PARK, /* until bytes, the deadline or the bell */
	NEXT_AWAIT, /* until await_fd is readable, the deadline or the bell */
	NEXT_SLEEP, /* until the deadline or the bell (tarpit, failure delay) */
	NEXT_CLOSE, /* the session has freed itself */
	NEXT_BECOME, /* it has, and another one goes on: crew_become */
};

struct crew;
struct seat;

typedef enum next seat_serve_f(struct seat *seat);
/* It will be quiet for a while: gives memory back. */
typedef void seat_idle_f(struct seat *seat);

/* Embedded in a session; the session fills fd, serve and idle, then
 * deadline_ms (and await_fd) before it returns to be parked.  The rest is the
 * crew's. */
struct seat {
	int fd;
	seat_serve_f *serve;
	seat_idle_f *idle; /* NULL: nothing to give back */
	int64_t deadline_ms; /* clock_mono_ms; 0: none */
	int await_fd; /* AWAIT: another one than fd; open until serve */
	bool timed_out; /* why serve was called */
	bool rung;
	bool readable; /* there are bytes, or the end; of await_fd if AWAIT */
	/* private */
	struct crew *crew;
	struct seat *next; /* in the ready list, or the fresh one of the lot */
	struct seat *prev;
	int state;
	int awaits; /* the descriptor that wakes it; -1: none */
	bool bell;
	long heap_at;
	int64_t fresh_since_ms; /* 0: not in the list */
	unsigned long parked_in; /* the number of the wait, see lot.h */
};

struct crew *crew_new(unsigned max_threads);

/* Gives a new session to the crew: served at once by a worker. */
void crew_add(struct crew *c, struct seat *seat);
/* The session that is served on this descriptor becomes another one, which the
 * same worker serves at once. */
void crew_become(struct crew *c, struct seat *heir);
/* Before the session that is served closes its descriptor: nobody has to do
 * with that any more. */
void crew_leave(struct seat *seat);
/* Wakes a parked session, or makes the next park return at once.  The
 * caller guarantees that the seat is alive. */
void crew_ring(struct seat *seat);
/* Is the crew asked to end?  Sessions say 421 or BYE then. */
bool crew_ending(const struct crew *c);
unsigned crew_sessions(struct crew *c);

/* Calls accepted(fd, ctx) for each connection, in one thread at a time, which
 * others wait for. */
typedef void crew_accept_f(int fd, void *ctx);
void crew_listen(
	struct crew *c, int listen_fd, crew_accept_f *accepted, void *ctx);

/* Stops listening, wakes every session with crew_ending, waits until all
 * are gone or the time is over; returns how many are left. */
unsigned crew_end(struct crew *c, int64_t wait_ms);

#endif
