/* SPDX-License-Identifier: ISC */
/*
 * Sites: what answers at a destination.  All destinations with the same mail
 * exchangers share one, and what is learned of it: how many deliveries it
 * takes at a time, and whether it answers at all.
 *
 * The window opens by one with each success until the first trouble, then by
 * one with each round; trouble halves it.  A site that nobody reached is left
 * alone for a while that doubles, then asked by one delivery.
 */
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "role/queue/sched_private.h"
#include "sys/clock.h"

enum { CLOSED_S = 60, CLOSED_MAX_S = 900 };

struct site *site_get(struct sched *s, struct str name)
{
	struct site *site = map_get(s->site_by_name, name);

	if (site == NULL) {
		site = must_alloc(sizeof(*site) + name.len + 1);
		memcpy(site->text, name.ptr, name.len);
		site->name = str_of(site->text, name.len);
		site->next = s->sites;
		if (s->sites != NULL)
			s->sites->prev = site;
		s->sites = site;
		s->n_sites++;
		map_set(s->site_by_name, name, site);
	}
	/* So that who is in use is not taken for forgotten. */
	site->changed |= clock_unix() - site->used > 86400;
	site->used = clock_unix();
	return site;
}

void site_free(struct sched *s, struct site *site)
{
	must(site->dests == NULL && site->in_flight == 0);
	map_remove(s->site_by_name, site->name);
	if (site->prev != NULL)
		site->prev->next = site->next;
	else
		s->sites = site->next;
	if (site->next != NULL)
		site->next->prev = site->prev;
	s->n_sites--;
	free(site->moved_to);
	free(site->last);
	free(site);
}

void site_join(struct dest *d)
{
	d->prev_of_site = NULL;
	d->next_of_site = d->site->dests;
	if (d->next_of_site != NULL)
		d->next_of_site->prev_of_site = d;
	d->site->dests = d;
}

void site_leave(struct dest *d)
{
	if (d->prev_of_site != NULL)
		d->prev_of_site->next_of_site = d->next_of_site;
	else
		d->site->dests = d->next_of_site;
	if (d->next_of_site != NULL)
		d->next_of_site->prev_of_site = d->prev_of_site;
}

/* All that is left is parked: each line gets its turn. */
static void feed(struct sched *s, struct dest *d)
{
	struct line *l = d->turn;

	if (d->n > 0 || d->n_parked == 0)
		return;
	do {
		if (l->n_parked > 0)
			sched_hungry(s, l);
		l = l->next;
	} while (l != d->turn);
}

/* It has opened, closed, or answered for the first time. */
static void put_dests(struct sched *s, struct site *site)
{
	for (struct dest *d = site->dests, *next; d != NULL; d = next) {
		next = d->next_of_site;
		dest_put(s, d);
		if (site->closed_until == 0)
			feed(s, d);
		else
			active_withdraw(s, d);
	}
}

void site_has_room(struct sched *s, struct site *site)
{
	int64_t room = (int64_t)site->window - site->in_flight;

	/* One may come back at once, full by its own limit. */
	while (room-- > 0 && site->full.first != NULL)
		dest_put(s, site->full.first);
}

/* The names of its exchangers are known now, or have changed. */
static void move(struct sched *s, struct dest *d, struct str exchangers)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct str name = arena_lower(
		a, arena_printf(a, "%.*s %.*s", STR_ARG(d->transport),
			   STR_ARG(exchangers)));
	struct str own = arena_lower(
		a, arena_printf(a, "%.*s %.*s", STR_ARG(d->transport),
			   STR_ARG(d->nexthop)));

	if (str_eq(name, d->site->name))
		return;
	struct site *to = site_get(s, name), *from = site_get(s, own);
	if (to->window < 1)
		to->window = d->site->window;
	d->site->in_flight -= d->in_flight;
	to->in_flight += d->in_flight;
	site_leave(d);
	d->site = to;
	site_join(d);
	dest_put(s, d);
	/* Who comes by this next hop later goes there at once. */
	free(from->moved_to);
	from->moved_to = str_eq(name, own) ? NULL : str_heap(name);
	from->changed = true;
}

enum answer { ANSWER_GOOD, ANSWER_SLOW, ANSWER_NONE, ANSWER_OURS };

/* Did it ask for less, or not answer?  A refused mail is an answer too. */
static enum answer answer_of(const struct outcomes *o)
{
	bool ours = o->n > 0;

	if (o->site_failed)
		return ANSWER_NONE;
	for (uint32_t i = 0; i < o->n; i++) {
		const struct outcome_of *v = &o->v[i];

		/* There is no such domain, or no mail for it: nobody spoke. */
		ours &= v->kind == BOUNCED && v->code == 0;
		if (v->kind == DEFERRED &&
			(v->code == 421 ||
				(v->code >= 400 && v->subject == 7) ||
				(v->code == 0 && v->subject == 4)))
			return ANSWER_SLOW;
	}
	return ours ? ANSWER_OURS : ANSWER_GOOD;
}

static void note(struct site *site, const struct outcomes *o)
{
	if (o->n == 0)
		return;
	free(site->last);
	site->last = str_heap(str_sub(o->v[0].text, 0, 300));
}

static void close_site(struct site *site, const struct conf *c)
{
	int64_t most = c->default_destination_concurrency_failed_cohort_limit;
	int64_t over = (int64_t)++site->failures - (most > 1 ? most : 1);

	if (over >= 0)
		site->closed_until =
			clock_unix() +
			min_i64((int64_t)CLOSED_S << min_i64(over, 4),
				CLOSED_MAX_S);
}

static void open_window(struct dest *d)
{
	struct site *site = d->site;

	site->good++;
	site->failures = 0;
	site->closed_until = 0;
	site->window += site->steady ? 1 / site->window : 1;
	if (site->window > (double)d->limit)
		site->window = (double)d->limit;
}

static void learn(struct sched *s, struct dest *d, enum answer answer)
{
	struct site *site = d->site;

	if (answer == ANSWER_OURS)
		return;
	if (answer == ANSWER_GOOD) {
		open_window(d);
		return;
	}
	site->bad++;
	site->steady = true;
	site->window = site->window > 2 ? site->window / 2 : 1;
	if (answer == ANSWER_NONE)
		close_site(site, s->role->conf);
	else
		site->closed_until = 0;
}

void site_learn(struct sched *s, struct dest *d, const struct outcomes *o)
{
	if (d->kind == AGENT_MAILBOX)
		return;
	if (str_present(o->site))
		move(s, d, o->site);
	enum pool pool = dest_pool(d);
	int64_t closed = d->site->closed_until;

	note(d->site, o);
	d->site->used = clock_unix();
	d->site->changed = true;
	learn(s, d, answer_of(o));
	if (pool != dest_pool(d) || closed != d->site->closed_until)
		put_dests(s, d->site);
	else
		site_has_room(s, d->site);
}

void site_open(struct sched *s, struct site *site)
{
	site->closed_until = 0;
	put_dests(s, site);
}

void site_open_all(struct sched *s)
{
	for (struct site *site = s->sites; site != NULL; site = site->next)
		if (site->closed_until != 0)
			site_open(s, site);
}
