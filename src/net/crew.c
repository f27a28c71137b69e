/* SPDX-License-Identifier: ISC */
/*
 * One mutex guards the ready list, the states and the deadlines.
 * epoll is one-shot per seat: a seat that is served cannot fire.  A worker
 * lingers on a quiet session only while another worker is free or can be
 * started; a fixed linger starves the others.
 */
#include "net/crew.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/must.h"
#include "net/deadlines.h"
#include "sys/clock.h"

enum {
	LINGER_MS = 5,
	IDLE_MS = 60000, /* the lot looks at the deadlines at least so often */
	STACK_BYTES = 512 * 1024,
	EVENTS = 256,
	LISTENERS_MAX = 64
};
enum { SEAT_READY = 1, SEAT_SERVED, SEAT_PARKED };

/*
 * An epoll event names descriptor and generation, never the seat itself: by
 * the time it is looked at, a bell may have served and freed the session.
 */
struct slot {
	struct seat *seat;
	struct seat *heir; /* crew_become */
	uint32_t generation;
};

struct listener {
	int fd;
	crew_accept_f *accepted;
	void *ctx;
};

struct crew {
	pthread_mutex_t lock;
	pthread_cond_t ready_cond;
	pthread_cond_t gone_cond;
	struct seat *ready_first;
	struct seat *ready_last;
	unsigned max_threads;
	unsigned threads;
	unsigned idle; /* wait for work, and nobody has woken them */
	unsigned to_wake; /* of them, when the lock is let go */
	unsigned woken; /* taken off idle, but not awake yet */
	unsigned sessions;
	struct slot *slots; /* every seat, by descriptor */
	int n_slots;
	uint32_t generation;
	struct deadlines deadlines; /* of parked seats */
	int epoll;
	int wake; /* eventfd: the lot would sleep too long */
	int64_t armed_ms; /* when the lot looks at the deadlines; 0: never */
	struct listener listeners[LISTENERS_MAX];
	unsigned n_listeners;
	bool ending;
	pthread_t lot;
};

/* ---- seats ---- */

/* A worker that is woken under the lock would run into it. */
static void leave(struct crew *c)
{
	unsigned n = c->to_wake;

	c->to_wake = 0;
	c->woken += n;
	pthread_mutex_unlock(&c->lock);
	while (n-- > 0)
		pthread_cond_signal(&c->ready_cond);
}

/* The lot wakes in time, or is told to. */
static void arm_lot(struct crew *c, int64_t deadline_ms)
{
	uint64_t one = 1;

	if (c->armed_ms > 0 && c->armed_ms <= deadline_ms)
		return;
	c->armed_ms = deadline_ms;
	if (write(c->wake, &one, sizeof(one)) < 0)
		return; /* the counter is full: it is awake */
}

static void *work(void *arg);

static void start_thread(struct crew *c)
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&thread, &attr, work, c) == 0)
		c->threads++;
	else
		must(c->threads > 0);
	pthread_attr_destroy(&attr);
}

static void make_ready(struct crew *c, struct seat *s)
{
	s->state = SEAT_READY;
	s->next = NULL;
	if (c->ready_last != NULL)
		c->ready_last->next = s;
	else
		c->ready_first = s;
	c->ready_last = s;
	if (c->idle > 0) {
		c->idle--;
		c->to_wake++;
	} else if (c->threads < c->max_threads) {
		start_thread(c);
	}
}

static void unpark(struct crew *c, struct seat *s)
{
	deadlines_remove(&c->deadlines, s);
	if (s->in_epoll)
		epoll_ctl(c->epoll, EPOLL_CTL_DEL, s->fd, NULL);
	s->in_epoll = false;
	make_ready(c, s);
}

static void park(struct crew *c, struct seat *s, bool bytes)
{
	struct epoll_event e = {.events = EPOLLIN | EPOLLRDHUP | EPOLLONESHOT};

	e.data.u64 =
		(uint64_t)c->slots[s->fd].generation << 32 | (uint32_t)s->fd;
	if (s->bell || c->ending) {
		s->rung = s->bell;
		s->bell = false;
		make_ready(c, s);
		return;
	}
	s->state = SEAT_PARKED;
	s->heap_at = -1;
	if (s->deadline_ms > 0) {
		deadlines_add(&c->deadlines, s);
		if (s->heap_at == 0)
			arm_lot(c, s->deadline_ms);
	}
	if (bytes) {
		s->in_epoll = true;
		must(epoll_ctl(c->epoll, EPOLL_CTL_ADD, s->fd, &e) == 0);
	}
}

static void remember(struct crew *c, struct seat *s)
{
	if (s->fd >= c->n_slots) {
		int n = c->n_slots > 0 ? c->n_slots : 64;

		while (n <= s->fd)
			n *= 2;
		c->slots = must_realloc(
			c->slots, (unsigned long)n * sizeof(*c->slots));
		memset(c->slots + c->n_slots, 0,
			(size_t)(n - c->n_slots) * sizeof(*c->slots));
		c->n_slots = n;
	}
	c->slots[s->fd] =
		(struct slot){.seat = s, .generation = ++c->generation};
	c->sessions++;
}

/* The session is gone, its memory too; the descriptor may be a new one's. */
static void forget(struct crew *c)
{
	c->sessions--;
	pthread_cond_broadcast(&c->gone_cond);
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
			*s = c->slots[fd].heir;
			pthread_mutex_unlock(&c->lock);
		}
	} while (next == NEXT_BECOME);
	return next;
}

static void serve(struct crew *c, struct seat *s)
{
	/* Whom a worker serves may free itself at any moment: until it parks
	 * nobody finds it by its slot. */
	c->slots[s->fd].seat = NULL;
	s->state = SEAT_SERVED;
	s->rung |= s->bell;
	s->bell = false;
	leave(c);
	enum next next = serve_heirs(c, &s);
	while (next == NEXT_PARK) {
		struct pollfd p = {.fd = s->fd, .events = POLLIN};

		pthread_mutex_lock(&c->lock);
		bool linger = (c->idle > 0 || c->threads < c->max_threads) &&
			      !s->bell && !c->ending;
		pthread_mutex_unlock(&c->lock);
		if (!linger || poll(&p, 1, LINGER_MS) <= 0)
			break;
		s->timed_out = s->rung = false;
		s->readable = true;
		next = serve_heirs(c, &s);
	}
	if (next == NEXT_PARK && s->idle != NULL)
		s->idle(s);
	pthread_mutex_lock(&c->lock);
	if (next == NEXT_CLOSE) {
		forget(c);
		return;
	}
	s->timed_out = s->rung = s->readable = false;
	c->slots[s->fd].seat = s;
	park(c, s, next == NEXT_PARK);
}

static void *work(void *arg)
{
	struct crew *c = arg;

	pthread_mutex_lock(&c->lock);
	for (;;) {
		struct seat *s = c->ready_first;

		if (s == NULL) {
			c->idle++;
			pthread_cond_wait(&c->ready_cond, &c->lock);
			if (c->woken > 0)
				c->woken--;
			else
				c->idle--; /* woken by nobody */
			continue;
		}
		c->ready_first = s->next;
		if (c->ready_first == NULL)
			c->ready_last = NULL;
		s->next = NULL;
		serve(c, s);
	}
	return NULL;
}

static void begin(struct crew *c, struct seat *s)
{
	s->crew = c;
	s->heap_at = -1;
	s->in_epoll = s->bell = s->timed_out = s->rung = false;
	s->readable = false;
}

void crew_add(struct crew *c, struct seat *s)
{
	pthread_mutex_lock(&c->lock);
	begin(c, s);
	remember(c, s);
	make_ready(c, s);
	leave(c);
}

void crew_become(struct crew *c, struct seat *heir)
{
	pthread_mutex_lock(&c->lock);
	begin(c, heir);
	heir->state = SEAT_SERVED;
	c->slots[heir->fd].heir = heir;
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

/* ---- the lot ---- */

static void accept_all(struct listener *l)
{
	for (int i = 0; i < 64; i++) {
		int fd = accept4(
			l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0)
			return;
		l->accepted(fd, l->ctx);
	}
}

enum { KEY_WAKE = -1, KEY_LISTENER = -2 };

static uint64_t special_key(int kind, unsigned index)
{
	return (uint64_t)index << 32 | (uint32_t)kind;
}

static void take_event(struct crew *c, uint64_t key)
{
	int fd = (int)(uint32_t)key;
	uint32_t high = (uint32_t)(key >> 32);
	uint64_t count;

	if (fd == KEY_WAKE) {
		if (read(c->wake, &count, sizeof(count)) < 0)
			return; /* somebody else's wake-up: nothing to do */
		return;
	}
	if (fd == KEY_LISTENER) {
		accept_all(&c->listeners[high]);
		return;
	}
	pthread_mutex_lock(&c->lock);
	struct seat *s = fd < c->n_slots && c->slots[fd].generation == high
				 ? c->slots[fd].seat
				 : NULL;
	/* A bell may have come first; then it is not parked any more. */
	if (s != NULL && s->state == SEAT_PARKED && s->in_epoll) {
		s->readable = true;
		unpark(c, s);
	}
	leave(c);
}

static int expire(struct crew *c)
{
	int64_t now = clock_mono_ms();
	int64_t wait = IDLE_MS;

	pthread_mutex_lock(&c->lock);
	while (c->deadlines.n > 0) {
		struct seat *s = c->deadlines.v[0];

		if (s->deadline_ms > now) {
			wait = s->deadline_ms - now;
			break;
		}
		s->timed_out = true;
		unpark(c, s);
	}
	wait = wait > IDLE_MS ? IDLE_MS : wait;
	c->armed_ms = now + wait;
	leave(c);
	return (int)wait;
}

static void *run_lot(void *arg)
{
	struct crew *c = arg;
	struct epoll_event events[EVENTS];

	for (;;) {
		int n = epoll_wait(c->epoll, events, EVENTS, expire(c));

		for (int i = 0; i < n; i++)
			take_event(c, events[i].data.u64);
	}
	return NULL;
}

void crew_listen(
	struct crew *c, int listen_fd, crew_accept_f *accepted, void *ctx)
{
	must(c->n_listeners < LISTENERS_MAX);
	struct epoll_event e = {.events = EPOLLIN | EPOLLEXCLUSIVE,
		.data.u64 = special_key(KEY_LISTENER, c->n_listeners)};
	struct listener *l = &c->listeners[c->n_listeners++];

	*l = (struct listener){listen_fd, accepted, ctx};
	must(epoll_ctl(c->epoll, EPOLL_CTL_ADD, listen_fd, &e) == 0);
}

struct crew *crew_new(unsigned max_threads)
{
	struct crew *c = must_alloc(sizeof(*c));
	struct epoll_event e = {
		.events = EPOLLIN, .data.u64 = special_key(KEY_WAKE, 0)};

	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->ready_cond, NULL);
	pthread_cond_init(&c->gone_cond, NULL);
	c->max_threads = max_threads > 0 ? max_threads : 1;
	c->epoll = epoll_create1(EPOLL_CLOEXEC);
	c->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	must(c->epoll >= 0 && c->wake >= 0);
	must(epoll_ctl(c->epoll, EPOLL_CTL_ADD, c->wake, &e) == 0);
	must(pthread_create(&c->lot, NULL, run_lot, c) == 0);
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
	for (unsigned i = 0; i < c->n_listeners; i++)
		epoll_ctl(c->epoll, EPOLL_CTL_DEL, c->listeners[i].fd, NULL);
	pthread_mutex_lock(&c->lock);
	__atomic_store_n(&c->ending, true, __ATOMIC_RELAXED);
	for (int i = 0; i < c->n_slots; i++)
		if (c->slots[i].seat != NULL &&
			c->slots[i].seat->state == SEAT_PARKED)
			unpark(c, c->slots[i].seat);
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
