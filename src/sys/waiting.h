/* SPDX-License-Identifier: ISC */
#ifndef SYS_WAITING_H
#define SYS_WAITING_H

#include <poll.h>
#include <stdbool.h>

/*
 * waiting: a thread that is about to wait for somebody else (another role, a
 * disk, a peer, DNS), or to compute for long, says so, and when it goes on.
 * Whoever shares work out among threads (net/crew) listens, and lets another
 * thread take over meanwhile.  Without a listener, in threads of one's own,
 * both do nothing.  Calls nest; errno stays.
 */

typedef void waiting_f(void *ctx, bool waits);

/* For the calling thread, as long as it lives. */
void waiting_listen(waiting_f *listener, void *ctx);
/* poll(2), said so unless timeout_ms is 0. */
int waiting_poll(struct pollfd *fds, unsigned long n, int timeout_ms);
void waiting_begin(void);
void waiting_end(void);

#endif
