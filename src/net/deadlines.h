/* SPDX-License-Identifier: ISC */
#ifndef NET_DEADLINES_H
#define NET_DEADLINES_H

/*
 * deadlines: a heap of seats, the earliest deadline_ms first.  A seat knows its
 * place in it (heap_at, below 0: it is in none).  Under the lock of the crew.
 */

#include "net/crew.h"

struct deadlines {
	struct seat **v; /* v[0] is the earliest */
	long n, cap;
};

void deadlines_add(struct deadlines *d, struct seat *s);
void deadlines_remove(struct deadlines *d, struct seat *s); /* or is in none */

#endif
