/* SPDX-License-Identifier: ISC */
#ifndef NET_LISTENERS_H
#define NET_LISTENERS_H

/* listeners: the sockets at which a crew's connections come.  Part of crew. */

#include "net/crew.h"

enum { LISTENERS_MAX = 64 };

struct listener {
	int fd;
	crew_accept_f *accepted;
	void *ctx;
};

struct listeners {
	struct listener v[LISTENERS_MAX];
	unsigned n;
	int spare; /* a descriptor for when there is none left */
};

void listeners_init(struct listeners *l);
/* Its number. */
unsigned listeners_add(struct listeners *l, struct listener one);
/* All that wait there, up to a bound; one thread at a time. */
void listeners_accept(struct listeners *l, unsigned i);

#endif
