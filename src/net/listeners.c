/* SPDX-License-Identifier: ISC */
#include "net/listeners.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/must.h"

enum { AT_ONCE = 64 };

void listeners_init(struct listeners *l)
{
	l->n = 0;
	l->spare = eventfd(0, EFD_CLOEXEC);
}

unsigned listeners_add(struct listeners *l, struct listener one)
{
	must(l->n < LISTENERS_MAX);
	l->v[l->n] = one;
	return l->n++;
}

static int next_at(const struct listener *x)
{
	return accept4(x->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

/* There is no descriptor left: whoever waits would be told of for ever.  He is
 * let in by the spare one, and out again. */
static void shed(struct listeners *l, const struct listener *x)
{
	close(l->spare);
	int fd = next_at(x);
	if (fd >= 0)
		close(fd);
	l->spare = eventfd(0, EFD_CLOEXEC);
}

void listeners_accept(struct listeners *l, unsigned i)
{
	const struct listener *x = &l->v[i];

	for (unsigned n = 0; n < AT_ONCE; n++) {
		int fd = next_at(x);

		if (fd >= 0)
			x->accepted(fd, x->ctx);
		else if (errno == EMFILE || errno == ENFILE)
			shed(l, x);
		else
			return;
	}
}
