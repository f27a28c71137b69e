/* SPDX-License-Identifier: ISC */
#include "net/deadlines.h"

#include "base/must.h"

static void place(struct deadlines *d, long i, struct seat *s)
{
	d->v[i] = s;
	s->heap_at = i;
}

static void up(struct deadlines *d, long i)
{
	struct seat *s = d->v[i];

	while (i > 0 && d->v[(i - 1) / 2]->deadline_ms > s->deadline_ms) {
		place(d, i, d->v[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	place(d, i, s);
}

static void down(struct deadlines *d, long i)
{
	struct seat *s = d->v[i];

	for (;;) {
		long child = 2 * i + 1;

		if (child >= d->n)
			break;
		if (child + 1 < d->n &&
			d->v[child + 1]->deadline_ms < d->v[child]->deadline_ms)
			child++;
		if (d->v[child]->deadline_ms >= s->deadline_ms)
			break;
		place(d, i, d->v[child]);
		i = child;
	}
	place(d, i, s);
}

void deadlines_add(struct deadlines *d, struct seat *s)
{
	if (d->n == d->cap) {
		d->cap = d->cap > 0 ? d->cap * 2 : 64;
		d->v = must_realloc(
			d->v, (unsigned long)d->cap * sizeof(*d->v));
	}
	d->v[d->n] = s;
	s->heap_at = d->n++;
	up(d, s->heap_at);
}

void deadlines_remove(struct deadlines *d, struct seat *s)
{
	long i = s->heap_at;

	if (i < 0)
		return;
	s->heap_at = -1;
	struct seat *last = d->v[--d->n];
	if (last == s)
		return;
	place(d, i, last);
	up(d, i);
	down(d, last->heap_at);
}
