/* SPDX-License-Identifier: ISC */
#include "sys/waiting.h"

#include <errno.h>
#include <stddef.h>

static _Thread_local waiting_f *listener;
static _Thread_local void *listener_ctx;
static _Thread_local unsigned depth;

static void tell(bool waits)
{
	int before = errno;

	if (listener != NULL)
		listener(listener_ctx, waits);
	errno = before;
}

void waiting_listen(waiting_f *f, void *ctx)
{
	listener = f;
	listener_ctx = ctx;
}

void waiting_begin(void)
{
	if (depth++ == 0)
		tell(true);
}

void waiting_end(void)
{
	if (--depth == 0)
		tell(false);
}

int waiting_poll(struct pollfd *fds, unsigned long n, int timeout_ms)
{
	if (timeout_ms == 0)
		return poll(fds, n, 0);
	waiting_begin();
	int ready = poll(fds, n, timeout_ms);
	waiting_end();
	return ready;
}
