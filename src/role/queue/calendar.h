/* SPDX-License-Identifier: ISC */
#ifndef ROLE_QUEUE_CALENDAR_H
#define ROLE_QUEUE_CALENDAR_H

/*
 * calendar: when to look at which message.  A message that nobody works on is
 * an id and a time here, and else on disk: 24 bytes each, a million is no
 * burden.
 *
 * An id stands here once.  Not thread-safe.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct calendar;

enum calendar_flags {
	CALENDAR_PARKED = 1u << 0, /* a line knows that it waits there */
	CALENDAR_NOW = 1u << 1, /* a person wants it tried, due or not */
};

struct calendar_entry {
	uint64_t id;
	uint32_t due; /* Unix seconds */
	uint32_t flags;
};

struct calendar *calendar_new(void);
void calendar_free(struct calendar *c); /* NULL is fine */

/* Sets or changes.  due below 1 is 1. */
void calendar_set(struct calendar *c, uint64_t id, int64_t due, uint32_t flags);
bool calendar_remove(struct calendar *c, uint64_t id); /* was it there? */
/* NULL: not there.  Good until the next change. */
const struct calendar_entry *calendar_get(
	const struct calendar *c, uint64_t id);
/* Takes the earliest that is due; false: none is. */
bool calendar_pop(struct calendar *c, int64_t now, struct calendar_entry *e_r);
/* The earliest; 0: empty. */
int64_t calendar_next(const struct calendar *c);
/* All are due, with CALENDAR_NOW.  Returns how many there are. */
size_t calendar_all_now(struct calendar *c, int64_t now);
size_t calendar_count(const struct calendar *c);

#endif
