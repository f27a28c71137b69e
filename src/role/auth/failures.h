/* SPDX-License-Identifier: ISC */
#ifndef ROLE_AUTH_FAILURES_H
#define ROLE_AUTH_FAILURES_H

/*
 * failures: failed logins by client network, for all protocols together.
 *
 * A table of a fixed size; when a row of it is full, the network that was
 * quiet for longest is forgotten.  The same wrong password said again counts
 * once: a forgotten device does not lock its neighbours out.  Any thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct failures;

/* limit: failures within window_s seconds, 0: no limit. */
struct failures *failures_new(int64_t limit, int64_t window_s);

struct client_net {
	unsigned char bytes[16]; /* the address, cut to its prefix */
	unsigned char len; /* 4 or 16; 0: not counted */
};

/* Has it failed too often?  now_s: a clock that does not jump. */
bool failures_over(
	struct failures *f, const struct client_net *net, int64_t now_s);
/* what: names the attempt; 0: nothing to compare by.  True: this one went over
 * the limit. */
bool failures_add(struct failures *f, const struct client_net *net,
	uint64_t what, int64_t now_s);

#endif
