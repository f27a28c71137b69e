/* SPDX-License-Identifier: ISC */
/*
 * A binary heap by time, and a table by id that says where in the heap an
 * entry stands.  The table is open: a free slot ends a search, and a removal
 * moves back what would not be found behind it.
 */
#include "role/queue/calendar.h"

#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "sys/clock.h"

enum { FIRST_CAP = 64, NOWHERE = 0 };

struct calendar {
	struct calendar_entry *heap; /* from 1: 0 is NOWHERE */
	size_t n, cap;
	uint32_t *slots; /* index into the heap */
	size_t mask; /* number of slots - 1 */
	uint64_t seed;
};

struct calendar *calendar_new(void)
{
	struct calendar *c = must_alloc(sizeof(*c));

	c->cap = FIRST_CAP;
	c->heap = must_alloc((c->cap + 1) * sizeof(*c->heap));
	c->mask = FIRST_CAP * 2 - 1;
	c->slots = must_alloc((c->mask + 1) * sizeof(*c->slots));
	c->seed = random_u64() | 1;
	return c;
}

void calendar_free(struct calendar *c)
{
	if (c == NULL)
		return;
	free(c->heap);
	free(c->slots);
	free(c);
}

/* ---- the table ---- */

static size_t home_of(const struct calendar *c, uint64_t id)
{
	uint64_t h = (id ^ c->seed) * 0x9e3779b97f4a7c15u;

	return (size_t)(h ^ h >> 32) & c->mask;
}

/* The slot of the id, or the free one where it belongs. */
static size_t slot_of(const struct calendar *c, uint64_t id)
{
	size_t i = home_of(c, id);

	while (c->slots[i] != NOWHERE && c->heap[c->slots[i]].id != id)
		i = (i + 1) & c->mask;
	return i;
}

static void free_slot(struct calendar *c, size_t hole)
{
	size_t i = hole;

	c->slots[hole] = NOWHERE;
	for (;;) {
		i = (i + 1) & c->mask;
		if (c->slots[i] == NOWHERE)
			return;
		size_t home = home_of(c, c->heap[c->slots[i]].id);
		/* Would a search from its home meet the hole first? */
		if (((i - home) & c->mask) >= ((i - hole) & c->mask)) {
			c->slots[hole] = c->slots[i];
			c->slots[i] = NOWHERE;
			hole = i;
		}
	}
}

static void grow(struct calendar *c)
{
	if (c->n < c->cap)
		return;
	c->cap *= 2;
	must(c->cap < UINT32_MAX);
	c->heap = must_realloc(c->heap, (c->cap + 1) * sizeof(*c->heap));
	free(c->slots);
	c->mask = c->cap * 2 - 1;
	c->slots = must_alloc((c->mask + 1) * sizeof(*c->slots));
	for (size_t i = 1; i <= c->n; i++)
		c->slots[slot_of(c, c->heap[i].id)] = (uint32_t)i;
}

/* ---- the heap ---- */

/* The two change places, and the table knows it. */
static void swap(struct calendar *c, size_t i, size_t k)
{
	size_t at = slot_of(c, c->heap[i].id),
	       other = slot_of(c, c->heap[k].id);
	struct calendar_entry e = c->heap[i];

	c->heap[i] = c->heap[k];
	c->heap[k] = e;
	c->slots[at] = (uint32_t)k;
	c->slots[other] = (uint32_t)i;
}

static void move_up(struct calendar *c, size_t i)
{
	for (; i > 1 && c->heap[i / 2].due > c->heap[i].due; i /= 2)
		swap(c, i, i / 2);
}

static void move_down(struct calendar *c, size_t i)
{
	for (size_t child; (child = i * 2) <= c->n; i = child) {
		if (child < c->n && c->heap[child + 1].due < c->heap[child].due)
			child++;
		if (c->heap[child].due >= c->heap[i].due)
			return;
		swap(c, i, child);
	}
}

/* Its time has changed. */
static void settle(struct calendar *c, uint64_t id)
{
	move_up(c, c->slots[slot_of(c, id)]);
	move_down(c, c->slots[slot_of(c, id)]);
}

static void take_out(struct calendar *c, size_t i)
{
	struct calendar_entry last = c->heap[c->n];

	free_slot(c, slot_of(c, c->heap[i].id));
	c->n--;
	if (i > c->n)
		return;
	c->slots[slot_of(c, last.id)] = (uint32_t)i;
	c->heap[i] = last;
	settle(c, last.id);
}

/* ---- what others call ---- */

/* 0 is what calendar_next says of an empty one: what is due at once, as mail
 * that was never tried is on disk, must not read so. */
static uint32_t seconds(int64_t due)
{
	return due < 1 ? 1 : due > UINT32_MAX ? UINT32_MAX : (uint32_t)due;
}

void calendar_set(struct calendar *c, uint64_t id, int64_t due, uint32_t flags)
{
	size_t i = c->slots[slot_of(c, id)];

	if (i == NOWHERE) {
		grow(c);
		i = ++c->n;
		c->heap[i].id = id;
		c->slots[slot_of(c, id)] = (uint32_t)i;
	}
	c->heap[i].due = seconds(due);
	c->heap[i].flags = flags;
	settle(c, id);
}

bool calendar_remove(struct calendar *c, uint64_t id)
{
	size_t i = c->slots[slot_of(c, id)];

	if (i == NOWHERE)
		return false;
	take_out(c, i);
	return true;
}

const struct calendar_entry *calendar_get(const struct calendar *c, uint64_t id)
{
	size_t i = c->slots[slot_of(c, id)];

	return i != NOWHERE ? &c->heap[i] : NULL;
}

bool calendar_pop(struct calendar *c, int64_t now, struct calendar_entry *e_r)
{
	if (c->n == 0 || c->heap[1].due > now)
		return false;
	*e_r = c->heap[1];
	take_out(c, 1);
	return true;
}

int64_t calendar_next(const struct calendar *c)
{
	return c->n > 0 ? c->heap[1].due : 0;
}

size_t calendar_all_now(struct calendar *c, int64_t now)
{
	for (size_t i = 1; i <= c->n; i++) {
		c->heap[i].due = seconds(now);
		c->heap[i].flags |= CALENDAR_NOW;
	}
	return c->n;
}

size_t calendar_count(const struct calendar *c)
{
	return c->n;
}
