/* SPDX-License-Identifier: ISC */
/*
 * Destinations and sites.  A destination is a transport and a next hop with a
 * line of its own; a site is what answers there: all destinations with the
 * same mail exchangers share one, and what is learned of it: how many
 * deliveries it takes at a time, and whether it answers at all.
 *
 * The window opens by one with each success until the first trouble, then by
 * one with each round; trouble halves it.  A site that nobody reached is left
 * alone for a while that doubles, then asked by one delivery.
 */
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/must.h"
#include "role/queue/sched_private.h"
#include "sys/clock.h"

enum { CLOSED_S = 60, CLOSED_MAX_S = 900, MAILBOX_LIMIT = 64 };

static bool is_ours(struct str transport)
{
	return str_eqc(transport, "local") || str_eqc(transport, "store") ||
	       str_eqc(transport, "virtual");
}

enum agent_kind dest_kind(const struct sched *s, struct str transport)
{
	const struct transport *t =
		transport_find(s->role->services, transport);

	return is_ours(transport) || (t != NULL && t->pipe != NULL)
		       ? AGENT_MAILBOX
		       : AGENT_SENDER;
}

static int64_t min_i64(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static void take_settings(
	const struct sched *s, struct dest *d, struct arena *a)
{
	const struct conf *c = s->role->conf;

	if (is_ours(d->transport)) {
		/* They commit in groups: the more wait, the cheaper each. */
		d->limit = d->initial = MAILBOX_LIMIT;
		d->recipient_limit = c->default_destination_recipient_limit;
		return;
	}
	d->limit = transport_setting(c, d->transport,
		"destination_concurrency_limit", false,
		c->default_destination_concurrency_limit, a);
	d->initial = transport_setting(c, d->transport,
		"initial_destination_concurrency", false,
		c->initial_destination_concurrency, a);
	d->recipient_limit = transport_setting(c, d->transport,
		"destination_recipient_limit", false,
		c->default_destination_recipient_limit, a);
	d->rate_delay =
		transport_setting(c, d->transport, "destination_rate_delay",
			true, c->default_destination_rate_delay, a);
	if (d->rate_delay > 0)
		d->limit = 1;
	if (d->limit <= 0)
		d->limit = INT32_MAX; /* 0: no limit */
}

static struct site *site_get(struct sched *s, struct str name)
{
	struct site *site = map_get(s->site_by_name, name);

	if (site != NULL)
		return site;
	site = must_alloc(sizeof(*site) + name.len + 1);
	memcpy(site->text, name.ptr, name.len);
	site->name = str_of(site->text, name.len);
	site->next = s->sites;
	s->sites = site;
	map_set(s->site_by_name, name, site);
	return site;
}

struct dest *dest_get(struct sched *s, struct str transport, struct str nexthop)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct str key =
		arena_lower(a, arena_printf(a, "%.*s %.*s", STR_ARG(transport),
				       STR_ARG(nexthop)));
	struct dest *d = map_get(s->dest_by_key, key);

	if (d != NULL)
		return d;
	d = must_alloc(sizeof(*d) + transport.len + nexthop.len + 1);
	memcpy(d->text, transport.ptr, transport.len);
	if (nexthop.len > 0)
		memcpy(d->text + transport.len, nexthop.ptr, nexthop.len);
	d->transport = str_of(d->text, transport.len);
	d->nexthop = str_of(d->text + transport.len, nexthop.len);
	d->kind = dest_kind(s, transport);
	take_settings(s, d, a);
	d->site = site_get(s, key);
	if (d->site->window < 1)
		d->site->window = (double)min_i64(d->initial, d->limit);
	d->next = s->dests;
	s->dests = d;
	map_set(s->dest_by_key, key, d);
	return d;
}

/* ---- lines ---- */

static int priority(const struct item *it)
{
	return it->m->env.priority;
}

void dest_line_up(struct dest *d, struct item *it)
{
	struct item **p = &d->first;

	it->state = ITEM_LINED;
	it->dest = d;
	if (d->last != NULL && priority(d->last) >= priority(it))
		p = &d->last->next;
	while (*p != NULL && priority(*p) >= priority(it))
		p = &(*p)->next;
	it->next = *p;
	*p = it;
	if (it->next == NULL)
		d->last = it;
}

void dest_unline(struct dest *d, struct item *it)
{
	struct item **p = &d->first;
	struct item *before = NULL;

	while (*p != it) {
		before = *p;
		p = &(*p)->next;
	}
	*p = it->next;
	if (d->last == it)
		d->last = before;
	it->next = NULL;
}

/* ---- how many at a time ---- */

int64_t dest_opens(const struct dest *d)
{
	return d->site->closed_until > d->next_start ? d->site->closed_until
						     : d->next_start;
}

bool dest_may_start(const struct sched *s, const struct dest *d, int64_t now)
{
	return d->first != NULL && d->in_flight < (uint64_t)d->limit &&
	       d->site->in_flight < (unsigned)d->site->window &&
	       s->in_flight < (unsigned)s->role->conf->default_process_limit &&
	       now >= dest_opens(d);
}

void dest_started(struct sched *s, struct dest *d, int64_t now)
{
	/* One delivery asks a site that was down, not all of them. */
	if (d->site->closed_until != 0)
		d->site->closed_until = now + CLOSED_S;
	d->in_flight++;
	d->site->in_flight++;
	s->in_flight++;
}

void dest_ended(struct sched *s, struct dest *d)
{
	d->in_flight--;
	d->site->in_flight--;
	s->in_flight--;
	if (d->rate_delay > 0)
		d->next_start = clock_unix() + d->rate_delay;
}

/* The names of its exchangers are known now, or have changed. */
static void move_to_site(struct sched *s, struct dest *d, struct str exchangers)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct str name = arena_lower(
		a, arena_printf(a, "%.*s %.*s", STR_ARG(d->transport),
			   STR_ARG(exchangers)));

	if (str_eq(name, d->site->name))
		return;
	struct site *to = site_get(s, name);
	if (to->window < 1)
		to->window = d->site->window;
	d->site->in_flight -= d->in_flight;
	to->in_flight += d->in_flight;
	d->site = to;
}

enum answer { ANSWER_GOOD, ANSWER_SLOW, ANSWER_NONE };

/* Did it ask for less, or not answer?  A refused mail is an answer too. */
static enum answer answer_of(const struct outcomes *o)
{
	if (o->site_failed)
		return ANSWER_NONE;
	for (uint32_t i = 0; i < o->n; i++) {
		const struct outcome_of *v = &o->v[i];

		if (v->kind == DEFERRED &&
			(v->code == 421 ||
				(v->code >= 400 && v->subject == 7) ||
				(v->code == 0 && v->subject == 4)))
			return ANSWER_SLOW;
	}
	return ANSWER_GOOD;
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

void dest_learn(struct sched *s, struct dest *d, const struct outcomes *o)
{
	if (is_ours(d->transport))
		return;
	if (str_present(o->site))
		move_to_site(s, d, o->site);
	struct site *site = d->site;
	enum answer answer = answer_of(o);

	note(site, o);
	if (answer == ANSWER_GOOD) {
		site->good++;
		site->failures = 0;
		site->closed_until = 0;
		site->window += site->steady ? 1 / site->window : 1;
		if (site->window > (double)d->limit)
			site->window = (double)d->limit;
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
