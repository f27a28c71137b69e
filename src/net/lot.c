/* SPDX-License-Identifier: ISC */
#include "net/lot.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/must.h"
#include "sys/clock.h"

enum { QUIET_MS = 20 };

/* ---- keys of events ---- */

enum { KEY_WAKE = -1, KEY_LISTENER = -2 };

static uint64_t key_of(int fd, uint32_t high)
{
	return (uint64_t)high << 32 | (uint32_t)fd;
}

/* ---- descriptors ---- */

static void take_slot(struct lot *lot, int fd, struct seat *s)
{
	if (fd >= lot->n_slots) {
		int n = lot->n_slots > 0 ? lot->n_slots : 64;

		while (n <= fd)
			n *= 2;
		lot->slots = must_realloc(
			lot->slots, (unsigned long)n * sizeof(*lot->slots));
		memset(lot->slots + lot->n_slots, 0,
			(size_t)(n - lot->n_slots) * sizeof(*lot->slots));
		lot->n_slots = n;
	}
	lot->slots[fd] =
		(struct slot){.seat = s, .generation = ++lot->generation};
}

/* Level-triggered, and left so while the session is served: most often nothing
 * comes then, and nothing has to be said at the next park. */
static void arm_bytes(struct lot *lot, int fd)
{
	struct slot *slot = &lot->slots[fd];
	struct epoll_event e = {.events = EPOLLIN | EPOLLRDHUP,
		.data.u64 = key_of(fd, slot->generation)};

	must(epoll_ctl(lot->epoll,
		     slot->in_epoll ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd,
		     &e) == 0);
	slot->in_epoll = slot->armed = true;
}

/* Without EPOLLONESHOT the end of the connection would be told for ever. */
static void disarm_bytes(struct lot *lot, int fd)
{
	struct epoll_event e = {.events = EPOLLONESHOT,
		.data.u64 = key_of(fd, lot->slots[fd].generation)};

	lot->slots[fd].armed = false;
	must(epoll_ctl(lot->epoll, EPOLL_CTL_MOD, fd, &e) == 0);
}

/* Another's descriptor, told of once: whose it is next, nobody knows. */
static void arm_once(struct lot *lot, struct seat *s)
{
	int fd = s->await_fd;

	take_slot(lot, fd, s);
	struct epoll_event e = {.events = EPOLLIN | EPOLLONESHOT,
		.data.u64 = key_of(fd, lot->generation)};
	must(epoll_ctl(lot->epoll, EPOLL_CTL_MOD, fd, &e) == 0 ||
		(errno == ENOENT &&
			epoll_ctl(lot->epoll, EPOLL_CTL_ADD, fd, &e) == 0));
}

static bool is_readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) > 0;
}

struct seat *lot_told(struct lot *lot, uint64_t key, int *listener_r)
{
	int fd = (int)(uint32_t)key;
	uint32_t high = (uint32_t)(key >> 32);
	uint64_t count;

	*listener_r = -1;
	if (fd == KEY_WAKE) {
		if (read(lot->wake, &count, sizeof(count)) < 0)
			return NULL; /* of an earlier wait */
		return NULL;
	}
	if (fd == KEY_LISTENER) {
		*listener_r = (int)high;
		return NULL;
	}
	if (fd >= lot->n_slots || lot->slots[fd].generation != high)
		return NULL;
	struct seat *s = lot->slots[fd].seat;
	if (s != NULL && s->awaits == fd)
		return s->parked_in != lot->waits || is_readable(fd) ? s : NULL;
	/* It is served, sleeps, or awaits something else. */
	if (lot->slots[fd].armed)
		disarm_bytes(lot, fd);
	return NULL;
}

void lot_listen(struct lot *lot, int listen_fd, unsigned listener)
{
	struct epoll_event e = {.events = EPOLLIN | EPOLLEXCLUSIVE,
		.data.u64 = key_of(KEY_LISTENER, listener)};

	must(epoll_ctl(lot->epoll, EPOLL_CTL_ADD, listen_fd, &e) == 0);
}

/* ---- time ---- */

void lot_interrupt(struct lot *lot)
{
	uint64_t one = 1;

	if (lot->armed_ms == 0)
		return;
	lot->armed_ms = 0;
	if (write(lot->wake, &one, sizeof(one)) < 0)
		return; /* the counter is full: it is awake */
}

/* Who waits wakes in time. */
static void wake_by(struct lot *lot, int64_t at_ms)
{
	if (at_ms < lot->armed_ms)
		lot_interrupt(lot);
}

static void fresh_add(struct lot *lot, struct seat *s)
{
	s->fresh_since_ms = clock_mono_ms();
	s->next = NULL;
	s->prev = lot->fresh_last;
	if (lot->fresh_last != NULL)
		lot->fresh_last->next = s;
	else
		lot->fresh_first = s;
	lot->fresh_last = s;
	wake_by(lot, lot->fresh_first->fresh_since_ms + QUIET_MS);
}

static void fresh_remove(struct lot *lot, struct seat *s)
{
	if (s->fresh_since_ms == 0)
		return;
	s->fresh_since_ms = 0;
	if (s->prev != NULL)
		s->prev->next = s->next;
	else
		lot->fresh_first = s->next;
	if (s->next != NULL)
		s->next->prev = s->prev;
	else
		lot->fresh_last = s->prev;
}

struct seat *lot_due(struct lot *lot, int64_t now_ms)
{
	struct seat *s = lot->deadlines.n > 0 ? lot->deadlines.v[0] : NULL;

	return s != NULL && s->deadline_ms <= now_ms ? s : NULL;
}

struct seat *lot_quiet(struct lot *lot, int64_t now_ms)
{
	struct seat *s = lot->fresh_first;

	if (s == NULL || s->fresh_since_ms + QUIET_MS > now_ms)
		return NULL;
	fresh_remove(lot, s);
	return s;
}

int64_t lot_wait_ms(struct lot *lot, int64_t now_ms, int64_t most_ms)
{
	int64_t next = now_ms + most_ms;

	if (lot->fresh_first != NULL &&
		lot->fresh_first->fresh_since_ms + QUIET_MS < next)
		next = lot->fresh_first->fresh_since_ms + QUIET_MS;
	if (lot->deadlines.n > 0 && lot->deadlines.v[0]->deadline_ms < next)
		next = lot->deadlines.v[0]->deadline_ms;
	lot->armed_ms = next;
	lot->waits++;
	return next - now_ms;
}

/* ---- seats ---- */

void lot_init(struct lot *lot)
{
	struct epoll_event e = {
		.events = EPOLLIN, .data.u64 = key_of(KEY_WAKE, 0)};

	lot->epoll = epoll_create1(EPOLL_CLOEXEC);
	lot->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	must(lot->epoll >= 0 && lot->wake >= 0);
	must(epoll_ctl(lot->epoll, EPOLL_CTL_ADD, lot->wake, &e) == 0);
}

static void begin(struct seat *s)
{
	s->heap_at = s->awaits = -1;
	s->fresh_since_ms = 0;
}

void lot_enter(struct lot *lot, struct seat *s)
{
	begin(s);
	take_slot(lot, s->fd, s);
}

void lot_inherit(struct lot *lot, struct seat *heir)
{
	begin(heir);
	lot->slots[heir->fd].heir = heir;
}

void lot_forget(struct lot *lot, struct seat *s)
{
	/* What is told of it until then means nobody; closing takes it out. */
	lot->slots[s->fd] = (struct slot){0};
}

void lot_leave(struct lot *lot, struct seat *s)
{
	lot->slots[s->fd].seat = NULL;
}

void lot_park(struct lot *lot, struct seat *s, enum next how)
{
	s->parked_in = lot->waits;
	lot->slots[s->fd].seat = s;
	if (s->deadline_ms > 0) {
		deadlines_add(&lot->deadlines, s);
		wake_by(lot, s->deadline_ms);
	}
	if (how == NEXT_AWAIT) {
		s->awaits = s->await_fd;
		arm_once(lot, s);
	} else if (how == NEXT_PARK) {
		s->awaits = s->fd;
		if (s->idle != NULL)
			fresh_add(lot, s);
		if (!lot->slots[s->fd].armed)
			arm_bytes(lot, s->fd);
	}
}

void lot_unpark(struct lot *lot, struct seat *s)
{
	if (s->awaits >= 0)
		lot->slots[s->awaits].seat = NULL;
	s->awaits = -1;
	deadlines_remove(&lot->deadlines, s);
	fresh_remove(lot, s);
}
