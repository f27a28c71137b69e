/* SPDX-License-Identifier: ISC */
/*
 * One mutex guards the ready list, the states and the lot.
 *
 * A worker that finds nothing ready polls, if nobody does.  What the poll finds
 * it serves itself, one after the other, and polls again: under load it never
 * sleeps, and wakes nobody.  Another one takes over when it says that it waits
 * (sys/waiting.h), or when the watch sees it stay with one session for a tick.
 */
#include "net/crew.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "base/must.h"
#include "net/listeners.h"
#include "net/lot.h"
#include "net/pace.h"
#include "sys/clock.h"
#include "sys/thread.h"
#include "sys/waiting.h"

enum {
	LINGER_MS = 5,
	CALM_TICKS = 50, /* without work: the watch sleeps, too */
	IDLE_MS = 60000, /* somebody looks at the deadlines at least so often */
	STACK_BYTES = 512 * 1024,
	EVENTS = 64
};
enum { SEAT_READY = 1, SEAT_SERVED, SEAT_PARKED };

struct crew {
	pthread_mutex_t lock;
	pthread_cond_t work_cond;
	pthread_cond_t watch_cond;
	pthread_cond_t gone_cond;
	struct seat *ready_first;
	struct seat *ready_last;
	unsigned max_threads;
	unsigned threads;
	unsigned idle; /* wait to be called, and nobody has */
	unsigned coming; /* called, but not here yet */
	unsigned calls; /* of those who wait */
	unsigned to_signal; /* when the lock is let go */
	unsigned active; /* here, and neither polling nor waiting */
	bool polled; /* somebody polls, or takes what the poll found */
	bool watched; /* the watch ticks */
	unsigned long progress; /* seats taken and polls begun */
	unsigned cpus;
	unsigned sessions;
	struct lot lot; /* the parked ones */
	struct pace pace;
	struct listeners listeners;
	bool ending;
};

/* ---- who works ---- */

/* Who is woken under the lock runs into it. */
static void leave(struct crew *c)
{
	unsigned n = c->to_signal;

	c->to_signal = 0;
	pthread_mutex_unlock(&c->lock);
	while (n-- > 0)
		pthread_cond_signal(&c->work_cond);
}

static void *work(void *arg);

static bool start_thread(struct crew *c)
{
	bool ok = thread_start(work, c, STACK_BYTES, NULL);

	must(ok || c->threads > 0);
	c->threads += ok;
	return ok;
}

static void call_worker(struct crew *c)
{
	if (c->idle > 0) {
		c->idle--;
		c->calls++;
		c->to_signal++;
		c->coming++;
	} else if (c->polled) {
		lot_interrupt(&c->lot); /* who polls does it */
	} else if (c->threads < c->max_threads && start_thread(c)) {
		c->coming++;
	}
}

/* There is work, or the poll to do, and nobody is at it? */
static void call_if_alone(struct crew *c)
{
	if (c->active == 0 && c->coming == 0 &&
		(c->ready_first != NULL || !c->polled))
		call_worker(c);
}

static void become_active(struct crew *c)
{
	c->active++;
	if (!c->watched) {
		c->watched = true;
		pthread_cond_signal(&c->watch_cond);
	}
}

/* The session at work has waited. */
static _Thread_local bool waited;

/* sys/waiting.h */
static void waits(void *ctx, bool begins)
{
	struct crew *c = ctx;

	waited = true;
	pthread_mutex_lock(&c->lock);
	if (begins) {
		c->active--;
		call_if_alone(c);
	} else {
		become_active(c);
	}
	leave(c);
}

/* Somebody may be stuck without saying so, or have more work than one can. */
static void *run_watch(void *arg)
{
	struct crew *c = arg;
	unsigned long seen = 0;
	unsigned calm = 0;
	bool behind = false;

	pthread_mutex_lock(&c->lock);
	for (;;) {
		while (!c->watched)
			pthread_cond_wait(&c->watch_cond, &c->lock);
		leave(c);
		bool decide = pace_sleep(&c->pace);
		pthread_mutex_lock(&c->lock);
		bool batch = decide ? pace_decide(&c->pace) : c->pace.batch;
		bool stuck = c->progress == seen;
		bool work = c->ready_first != NULL;
		seen = c->progress;
		calm = c->active == 0 && !work ? calm + 1 : 0;
		if (c->coming == 0 &&
			((stuck && (work || !c->polled)) ||
				(work && behind && c->active < c->cpus)))
			call_worker(c);
		behind = work;
		if (calm > CALM_TICKS)
			c->watched = batch = false;
		if (batch != c->pace.batch) {
			leave(c);
			pace_set(&c->pace, batch);
			pthread_mutex_lock(&c->lock);
		}
	}
	return NULL;
}

/* ---- seats ---- */

static void make_ready(struct crew *c, struct seat *s)
{
	s->state = SEAT_READY;
	s->next = NULL;
	if (c->ready_last != NULL)
		c->ready_last->next = s;
	else
		c->ready_first = s;
	c->ready_last = s;
	call_if_alone(c);
}

static void unpark(struct crew *c, struct seat *s)
{
	lot_unpark(&c->lot, s);
	make_ready(c, s);
}

/* Rung while nobody could unpark it, or asked to end? */
static bool is_called(const struct crew *c, struct seat *s)
{
	if (!s->bell && !c->ending)
		return false;
	s->rung = s->bell;
	s->bell = false;
	return true;
}

static void park(struct crew *c, struct seat *s, enum next how)
{
	if (is_called(c, s)) {
		make_ready(c, s);
		return;
	}
	s->state = SEAT_PARKED;
	lot_park(&c->lot, s, how);
}

/* Whom *s became is served until it becomes nobody else. */
static enum next serve_heirs(struct crew *c, struct seat **s)
{
	enum next next;
	int fd;

	do {
		fd = (*s)->fd;
		next = (*s)->serve(*s);
		if (next == NEXT_BECOME) {
			pthread_mutex_lock(&c->lock);
			*s = c->lot.slots[fd].heir;
			pthread_mutex_unlock(&c->lock);
		}
	} while (next == NEXT_BECOME);
	return next;
}

/*
 * A session that waited once does so again: while there are other workers its
 * own stays with it for a moment.  Who commits, say, would else be called one
 * after the other, and commit alone.  True: there are bytes.
 */
static bool lingers(struct crew *c, struct seat *s)
{
	struct pollfd p = {.fd = s->fd, .events = POLLIN};

	if ((c->idle == 0 && c->threads >= c->max_threads) || s->bell ||
		c->ending)
		return false;
	c->active--;
	call_if_alone(c);
	leave(c);
	int n = poll(&p, 1, LINGER_MS);
	pthread_mutex_lock(&c->lock);
	become_active(c);
	s->timed_out = s->rung = false;
	s->readable = n > 0;
	return n > 0;
}

static void serve(struct crew *c, struct seat *s)
{
	lot_leave(&c->lot, s);
	s->state = SEAT_SERVED;
	s->rung |= s->bell;
	s->bell = false;
	enum next next;
	do {
		leave(c);
		waited = false;
		next = serve_heirs(c, &s);
		pthread_mutex_lock(&c->lock);
	} while (next == NEXT_PARK && waited && lingers(c, s));
	if (next == NEXT_CLOSE) {
		/* Its memory is gone; the descriptor may be a new one's. */
		c->sessions--;
		pthread_cond_broadcast(&c->gone_cond);
		return;
	}
	s->timed_out = s->rung = s->readable = false;
	park(c, s, next);
}

static void begin(struct crew *c, struct seat *s)
{
	s->crew = c;
	s->bell = s->timed_out = s->rung = s->readable = false;
}

void crew_add(struct crew *c, struct seat *s)
{
	pthread_mutex_lock(&c->lock);
	begin(c, s);
	lot_enter(&c->lot, s);
	c->sessions++;
	make_ready(c, s);
	leave(c);
}

void crew_become(struct crew *c, struct seat *heir)
{
	pthread_mutex_lock(&c->lock);
	begin(c, heir);
	heir->state = SEAT_SERVED;
	lot_inherit(&c->lot, heir);
	pthread_mutex_unlock(&c->lock);
}

void crew_leave(struct seat *s)
{
	struct crew *c = s->crew;

	pthread_mutex_lock(&c->lock);
	lot_forget(&c->lot, s);
	pthread_mutex_unlock(&c->lock);
}

void crew_ring(struct seat *s)
{
	struct crew *c = s->crew;

	pthread_mutex_lock(&c->lock);
	s->bell = true;
	if (s->state == SEAT_PARKED) {
		s->rung = true;
		s->bell = false;
		unpark(c, s);
	}
	leave(c);
}

bool crew_ending(const struct crew *c)
{
	return __atomic_load_n(&c->ending, __ATOMIC_RELAXED);
}

unsigned crew_sessions(struct crew *c)
{
	pthread_mutex_lock(&c->lock);
	unsigned n = c->sessions;
	pthread_mutex_unlock(&c->lock);
	return n;
}

/* ---- the poll ---- */

static void take_event(struct crew *c, uint64_t key)
{
	int listener;
	struct seat *s = lot_told(&c->lot, key, &listener);

	if (s != NULL) {
		s->readable = true;
		unpark(c, s);
	}
	if (listener >= 0) {
		leave(c);
		listeners_accept(&c->listeners, (unsigned)listener);
		pthread_mutex_lock(&c->lock);
	}
}

/* It gives memory back, as if it were served. */
static void trim(struct crew *c, struct seat *s)
{
	s->state = SEAT_SERVED;
	leave(c);
	s->idle(s);
	pthread_mutex_lock(&c->lock);
	s->state = SEAT_PARKED;
	if (is_called(c, s))
		unpark(c, s);
}

/* What is due before the poll; returns how long that may take. */
static int look_at_clock(struct crew *c)
{
	int64_t now = clock_mono_ms();
	struct seat *s;

	while ((s = lot_quiet(&c->lot, now)) != NULL)
		trim(c, s);
	while ((s = lot_due(&c->lot, now)) != NULL) {
		s->timed_out = true;
		unpark(c, s);
	}
	return (int)lot_wait_ms(
		&c->lot, now, c->ready_first != NULL ? 0 : IDLE_MS);
}

static void poll_once(struct crew *c)
{
	struct epoll_event events[EVENTS];

	c->polled = true;
	c->progress++;
	int wait_ms = look_at_clock(c);
	c->active--;
	leave(c);
	int n = epoll_wait(c->lot.epoll, events, EVENTS, wait_ms);
	pthread_mutex_lock(&c->lock);
	become_active(c);
	pace_found(&c->pace, n > 0 ? (unsigned)n : 0);
	c->lot.armed_ms = 0;
	for (int i = 0; i < n; i++)
		take_event(c, events[i].data.u64);
	c->polled = false;
}

static void *work(void *arg)
{
	struct crew *c = arg;

	waiting_listen(waits, c);
	pthread_mutex_lock(&c->lock);
	c->coming--;
	become_active(c);
	for (;;) {
		struct seat *s = c->ready_first;

		if (s != NULL) {
			c->ready_first = s->next;
			if (c->ready_first == NULL)
				c->ready_last = NULL;
			s->next = NULL;
			c->progress++;
			serve(c, s);
		} else if (!c->polled) {
			poll_once(c);
		} else {
			c->active--;
			c->idle++;
			while (c->calls == 0)
				pthread_cond_wait(&c->work_cond, &c->lock);
			c->calls--;
			c->coming--;
			become_active(c);
		}
	}
	return NULL;
}

void crew_listen(
	struct crew *c, int listen_fd, crew_accept_f *accepted, void *ctx)
{
	lot_listen(&c->lot, listen_fd,
		listeners_add(&c->listeners,
			(struct listener){listen_fd, accepted, ctx}));
}

struct crew *crew_new(unsigned max_threads)
{
	struct crew *c = must_alloc(sizeof(*c));
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->work_cond, NULL);
	pthread_cond_init(&c->watch_cond, NULL);
	pthread_cond_init(&c->gone_cond, NULL);
	c->max_threads = max_threads > 0 ? max_threads : 1;
	c->cpus = cpus > 0 ? (unsigned)cpus : 1;
	lot_init(&c->lot);
	c->pace = pace_new();
	listeners_init(&c->listeners);
	must(thread_start(run_watch, c, STACK_BYTES, NULL));
	pthread_mutex_lock(&c->lock);
	call_worker(c);
	leave(c);
	return c;
}

unsigned crew_end(struct crew *c, int64_t wait_ms)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += wait_ms / 1000;
	until.tv_nsec += (wait_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	for (unsigned i = 0; i < c->listeners.n; i++)
		epoll_ctl(c->lot.epoll, EPOLL_CTL_DEL, c->listeners.v[i].fd,
			NULL);
	pthread_mutex_lock(&c->lock);
	__atomic_store_n(&c->ending, true, __ATOMIC_RELAXED);
	for (int i = 0; i < c->lot.n_slots; i++) {
		struct seat *seat = c->lot.slots[i].seat;

		if (seat != NULL && seat->state == SEAT_PARKED)
			unpark(c, seat);
	}
	leave(c);
	pthread_mutex_lock(&c->lock);
	while (c->sessions > 0)
		if (pthread_cond_timedwait(&c->gone_cond, &c->lock, &until) !=
			0)
			break;
	unsigned left = c->sessions;
	pthread_mutex_unlock(&c->lock);
	return left;
}
