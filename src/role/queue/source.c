/* SPDX-License-Identifier: ISC */
/*
 * Which of smtp_source_addresses a delivery goes out from, and how much each
 * has carried today: sites.db keeps it over restarts.
 */
#include <stdlib.h>

#include "base/must.h"
#include "role/queue/sched_private.h"
#include "sys/clock.h"

enum { DAY_S = 86400 };

static void add_sources(struct sched *s, const struct conf *c)
{
	struct source_group *g = must_alloc(sizeof(*g));
	struct str what;
	const char *why;

	g->conf = c;
	/* What is wrong here has been refused before the start. */
	sources_parse(c, s->role->a, &g->sources, &what, &why);
	g->next = s->sources;
	s->sources = g;
}

void source_load(struct sched *s)
{
	const struct services *services = s->role->services;

	add_sources(s, s->role->conf);
	for (size_t i = 0; i < services->n_transports; i++)
		add_sources(s, services->transports[i].conf);
}

static struct source_group *group_of(
	const struct sched *s, const struct dest *d)
{
	const struct transport *t =
		transport_find(s->role->services, d->transport);
	const struct conf *c = t != NULL ? t->conf : s->role->conf;
	struct source_group *g = s->sources;

	while (g != NULL && g->conf != c)
		g = g->next;
	return g != NULL && g->sources.n > 0 ? g : NULL;
}

/* What an address carried belongs to it, whoever's list it stands in. */
static struct carried *carried_of(struct sched *s, struct str address)
{
	struct carried *x = map_get(s->carried, address);

	if (x == NULL) {
		x = must_alloc(sizeof(*x));
		map_set(s->carried, address, x);
	}
	if (x->day != clock_unix() / DAY_S)
		*x = (struct carried){.day = clock_unix() / DAY_S};
	return x;
}

void source_carried(
	struct sched *s, struct str address, int64_t day, uint32_t n)
{
	struct carried *x = carried_of(s, address);

	if (x->day == day)
		x->n = n;
}

static uint64_t hash_of(const struct message *m, const struct dest *d)
{
	const struct str parts[] = {m->env.sender, d->nexthop};
	uint64_t h = 14695981039346656037u; /* FNV-1a */

	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		for (size_t k = 0; k < parts[i].len; k++)
			h = (h ^ (unsigned char)parts[i].ptr[k]) *
			    1099511628211u;
	return h ^ h >> 29;
}

void source_take(struct sched *s, const struct dest *d, const struct message *m,
	const struct source *v[2])
{
	const struct source_group *g = group_of(s, d);

	v[0] = v[1] = NULL;
	if (g == NULL || is_probe(m))
		return;
	uint32_t carried[SOURCES_MAX];
	for (size_t i = 0; i < g->sources.n; i++)
		carried[i] = carried_of(s, g->sources.v[i].address)->n;
	for (int six = 0; six < 2; six++) {
		v[six] = sources_choose(&g->sources, six != 0, hash_of(m, d),
			clock_unix() / DAY_S, carried);
		if (v[six] != NULL)
			carried_of(s, v[six]->address)->n++;
	}
}

void source_used(
	struct sched *s, const struct source *const v[2], struct str address)
{
	for (int six = 0; six < 2; six++) {
		if (v[six] == NULL)
			continue;
		struct carried *x = carried_of(s, v[six]->address);

		if (str_eq(address, v[six]->address))
			x->changed = true;
		else if (x->n > 0)
			x->n--;
	}
}
