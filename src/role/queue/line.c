/* SPDX-License-Identifier: ISC */
/* Lines: what one sender has for one destination, bounded; the rest is parked
 * by id. */
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "role/queue/sched_private.h"
#include "sys/clock.h"

enum {
	ROOM_UNKNOWN = 3, /* nobody knows whether anything answers there */
	ROOM_MIN = 20,
	ROOM_MAX = 200,
	ROOM_MAILBOX = 1000,
	DEST_ROOMS = 10, /* lines' rooms that one destination has */
};

struct line *line_get(struct sched *s, struct dest *d, struct str sender)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct str key = arena_lower(
		a, arena_printf(a, "%.*s %.*s %.*s", STR_ARG(d->transport),
			   STR_ARG(d->nexthop), STR_ARG(sender)));
	struct line *l = map_get(s->line_by_key, key);

	if (l != NULL)
		return l;
	l = must_alloc(sizeof(*l) + key.len + 1);
	memcpy(l->text, key.ptr, key.len);
	l->key = str_of(l->text, key.len);
	l->dest = d;
	if (d->turn == NULL) {
		d->turn = l->next = l->prev = l;
	} else {
		/* Behind all the others. */
		l->next = d->turn;
		l->prev = d->turn->prev;
		l->prev->next = l->next->prev = l;
	}
	map_set(s->line_by_key, key, l);
	return l;
}

void line_drop(struct sched *s, struct line *l)
{
	struct dest *d = l->dest;

	if (l->n > 0 || l->n_parked > 0 || l->hungry)
		return;
	if (d->turn == l)
		d->turn = l->next != l ? l->next : NULL;
	l->next->prev = l->prev;
	l->prev->next = l->next;
	map_remove(s->line_by_key, l->key);
	free(l->parked);
	free(l);
	dest_drop(s, d);
}

static size_t most_of(const struct dest *d)
{
	if (d->kind == AGENT_MAILBOX)
		return ROOM_MAILBOX;
	if (dest_pool(d) == POOL_UNANSWERED)
		return ROOM_UNKNOWN;
	double most = d->site->window * 4;
	return most < ROOM_MIN   ? ROOM_MIN
	       : most > ROOM_MAX ? ROOM_MAX
				 : (size_t)most;
}

/* ---- items ---- */

static int priority(const struct item *it)
{
	return it->m->env.priority;
}

void line_up(struct sched *s, struct line *l, struct item *it)
{
	struct item **p = &l->first;

	it->state = ITEM_LINED;
	it->line = l;
	if (l->last != NULL && priority(l->last) >= priority(it))
		p = &l->last->next;
	while (*p != NULL && priority(*p) >= priority(it))
		p = &(*p)->next;
	it->next = *p;
	*p = it;
	if (it->next == NULL)
		l->last = it;
	it->m->lined++;
	l->n++;
	l->dest->n_urgent += priority(it) != 0;
	if (l->dest->n++ == 0)
		dest_put(s, l->dest);
}

/* Somebody has left: the line may be filled up, or another one that found no
 * room at the destination. */
static void feed_next(struct sched *s, struct line *l)
{
	struct dest *d = l->dest;

	if (l->n_parked > 0 && l->n <= ROOM_UNKNOWN)
		sched_hungry(s, l);
	else if (d->n_parked > 0 && d->n <= most_of(d) * DEST_ROOMS / 2 &&
		 (l = line_parked(d)) != NULL)
		sched_hungry(s, l);
}

/* Waiting again, or in the caller's hands. */
void line_leave(struct sched *s, struct item *it)
{
	struct line *l = it->line;
	struct item **p = &l->first;
	struct item *before = NULL;

	while (*p != it) {
		before = *p;
		p = &(*p)->next;
	}
	*p = it->next;
	if (l->last == it)
		l->last = before;
	it->next = NULL;
	it->line = NULL;
	it->state = ITEM_WAITING;
	it->m->lined--;
	l->n--;
	l->dest->n--;
	l->dest->n_urgent -= priority(it) != 0;
	feed_next(s, l);
}

struct line *line_next(struct dest *d)
{
	struct line *best = NULL, *l = d->turn;

	/* The most urgent; among equals the one that waits for its turn. */
	do {
		if (l->first != NULL &&
			(best == NULL ||
				priority(l->first) > priority(best->first)))
			best = l;
		l = l->next;
	} while (l != d->turn && (best == NULL || d->n_urgent > 0));
	if (best != NULL)
		d->turn = best->next;
	return best;
}

struct line *line_parked(const struct dest *d)
{
	struct line *l = d->turn;

	if (d->n_parked == 0)
		return NULL;
	do {
		if (l->n_parked > 0 && !l->hungry)
			return l;
		l = l->next;
	} while (l != d->turn);
	return NULL;
}

void line_feed(struct sched *s, struct dest *d)
{
	struct line *l = line_parked(d);

	if (l != NULL && d->n <= most_of(d) * DEST_ROOMS / 2 &&
		line_room(l) > 0)
		sched_hungry(s, l);
}

/* ---- room, and who has none ---- */

size_t line_room(const struct line *l)
{
	const struct dest *d = l->dest;
	size_t most = most_of(d);

	/* One asks whether it answers again. */
	if (d->site->closed_until != 0)
		return d->site->closed_until <= clock_unix() && d->n == 0 &&
				       d->site->in_flight == 0
			       ? 1
			       : 0;
	if (d->n >= most * DEST_ROOMS || l->n >= most)
		return 0;
	return most - l->n;
}

void line_park(struct line *l, uint64_t id)
{
	if (l->parked_from + l->n_parked == l->parked_cap) {
		if (l->parked_from > l->parked_cap / 2) {
			memmove(l->parked, l->parked + l->parked_from,
				l->n_parked * sizeof(*l->parked));
			l->parked_from = 0;
		} else {
			l->parked_cap =
				l->parked_cap > 0 ? l->parked_cap * 2 : 8;
			l->parked = must_realloc(
				l->parked, l->parked_cap * sizeof(*l->parked));
		}
	}
	l->parked[l->parked_from + l->n_parked++] = id;
	l->dest->n_parked++;
}

uint64_t line_unpark(struct line *l)
{
	if (l->n_parked == 0)
		return 0;
	uint64_t id = l->parked[l->parked_from++];
	l->dest->n_parked--;
	if (--l->n_parked == 0) {
		free(l->parked);
		l->parked = NULL;
		l->parked_from = l->parked_cap = 0;
	}
	return id;
}
