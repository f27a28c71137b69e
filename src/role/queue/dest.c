/* SPDX-License-Identifier: ISC */
/*
 * Destinations: a transport and a next hop, with the lines of those who send
 * there.  Each stands in one place: ready for an agent, later, or waiting for
 * its site to have room.
 */
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "role/queue/sched_private.h"
#include "sys/clock.h"

enum { PROBE_S = 60, MAILBOX_LIMIT = 64 };

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

static struct rate *rate_of(
	struct sched *s, struct str transport, struct arena *a)
{
	const struct conf *c = s->role->conf;
	struct rate *r = map_get(s->rate_by_transport, transport);
	int64_t delay = transport_setting(c, transport, "transport_rate_delay",
		true, c->default_transport_rate_delay, a);

	if (r != NULL || delay <= 0)
		return r;
	r = must_alloc(sizeof(*r));
	r->delay = delay;
	map_set(s->rate_by_transport, transport, r);
	return r;
}

static void take_settings(struct sched *s, struct dest *d, struct arena *a)
{
	const struct conf *c = s->role->conf;

	d->rate = rate_of(s, d->transport, a);
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

static struct str dest_key(
	struct arena *a, struct str transport, struct str nexthop)
{
	return arena_lower(a, arena_printf(a, "%.*s %.*s", STR_ARG(transport),
				      STR_ARG(nexthop)));
}

struct dest *dest_get(struct sched *s, struct str transport, struct str nexthop)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct str key = dest_key(a, transport, nexthop);
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
	d->site->own = true;
	if (d->site->moved_to != NULL)
		d->site = site_get(s, str_from(d->site->moved_to));
	if (d->site->window < 1)
		d->site->window = (double)min_i64(d->initial, d->limit);
	site_join(d);
	map_set(s->dest_by_key, key, d);
	return d;
}

/* ---- lists ---- */

static void list_remove(struct dest *d)
{
	if (d->list == NULL)
		return;
	if (d->prev != NULL)
		d->prev->next = d->next;
	else
		d->list->first = d->next;
	if (d->next != NULL)
		d->next->prev = d->prev;
	else
		d->list->last = d->prev;
	d->next = d->prev = NULL;
	d->list = NULL;
}

static void list_append(struct dest_list *list, struct dest *d)
{
	d->prev = list->last;
	if (list->last != NULL)
		list->last->next = d;
	else
		list->first = d;
	list->last = d;
	d->list = list;
}

/* ---- the end ---- */

void dest_drop(struct sched *s, struct dest *d)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);

	/* With a rate it must be remembered when the next may start. */
	if (d->turn != NULL || d->in_flight > 0 || d->next_start > clock_unix())
		return;
	list_remove(d);
	site_leave(d);
	map_remove(s->dest_by_key, dest_key(a, d->transport, d->nexthop));
	free(d);
}

/* ---- places ---- */

enum pool dest_pool(const struct dest *d)
{
	return d->kind == AGENT_MAILBOX                      ? POOL_MAILBOX
	       : d->site->good > 0 && d->site->failures == 0 ? POOL_SENDER
							     : POOL_UNANSWERED;
}

int64_t dest_opens(const struct dest *d)
{
	int64_t rate = d->rate != NULL ? d->rate->next_start : 0;
	int64_t own = d->next_start > rate ? d->next_start : rate;

	return d->site->closed_until > own ? d->site->closed_until : own;
}

bool dest_is_closed(const struct dest *d, int64_t now)
{
	return d->site->closed_until > now;
}

bool dest_is_full(const struct dest *d)
{
	return d->in_flight >= (uint64_t)d->limit ||
	       d->site->in_flight >= (unsigned)d->site->window;
}

void dest_put(struct sched *s, struct dest *d)
{
	int64_t now = clock_unix();
	bool later = dest_opens(d) > now;

	list_remove(d);
	/* With a rate it is remembered until the next may start. */
	if (later && (d->n > 0 || d->n_parked > 0 || d->next_start > now)) {
		list_append(&s->later, d);
		sched_wake(s, dest_opens(d));
	} else if (d->n > 0) {
		list_append(dest_is_full(d) ? &d->site->full
					    : &s->ready[dest_pool(d)],
			d);
	}
}

int64_t dest_open_due(struct sched *s, int64_t now)
{
	int64_t next_due = 0;

	for (struct dest *d = s->later.first, *next; d != NULL; d = next) {
		next = d->next;
		if (dest_opens(d) <= now) {
			dest_put(s, d);
			/* Whoever is parked may ask whether it answers. */
			struct line *l = d->n == 0 ? line_parked(d) : NULL;

			if (l != NULL)
				sched_hungry(s, l);
			dest_drop(s, d);
		} else if (next_due == 0 || dest_opens(d) < next_due) {
			next_due = dest_opens(d);
		}
	}
	return next_due;
}

void dest_started(struct sched *s, struct dest *d, int64_t now)
{
	/* One delivery asks a site that was down, not all of them. */
	if (d->site->closed_until != 0)
		d->site->closed_until = now + PROBE_S;
	if (d->rate != NULL)
		d->rate->next_start = now + d->rate->delay;
	d->in_flight++;
	d->site->in_flight++;
	s->in_flight[dest_pool(d)]++;
}

void dest_ended(struct sched *s, struct dest *d, enum pool pool)
{
	d->in_flight--;
	d->site->in_flight--;
	s->in_flight[pool]--;
	if (d->rate_delay > 0)
		d->next_start = clock_unix() + d->rate_delay;
	dest_put(s, d);
	site_has_room(s, d->site);
	if (d->n == 0)
		line_feed(s, d);
	dest_drop(s, d);
}
