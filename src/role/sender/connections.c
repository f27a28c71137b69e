/* SPDX-License-Identifier: ISC */
#include "role/sender/connections.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/must.h"
#include "sys/clock.h"
#include "sys/thread.h"

enum { WAITING_MAX = 128, STACK_BYTES = 256 * 1024 };

struct waiting {
	struct connection x;
	char *key;
	int64_t until_ms;
	struct waiting *next;
};

struct connections {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct waiting *first; /* the latest first */
	unsigned n;
};

static void give_up(struct waiting *w)
{
	smtp_client_close(&w->x.client, true);
	free(w->key);
	free(w);
}

/* The list of all whose time is over; the lock is held. */
static struct waiting *take_expired(
	struct connections *c, int64_t now, int64_t *next_r)
{
	struct waiting *expired = NULL;

	*next_r = 0;
	for (struct waiting **p = &c->first; *p != NULL;) {
		struct waiting *w = *p;

		if (w->until_ms > now) {
			if (*next_r == 0 || w->until_ms < *next_r)
				*next_r = w->until_ms;
			p = &w->next;
			continue;
		}
		*p = w->next;
		w->next = expired;
		expired = w;
		c->n--;
	}
	return expired;
}

static void wait_until(struct connections *c, int64_t at_ms)
{
	struct timespec t = {at_ms / 1000, at_ms % 1000 * 1000000};

	if (at_ms == 0)
		pthread_cond_wait(&c->changed, &c->lock);
	else
		pthread_cond_timedwait(&c->changed, &c->lock, &t);
}

static void *reap(void *arg)
{
	struct connections *c = arg;

	pthread_mutex_lock(&c->lock);
	for (;;) {
		int64_t next;
		struct waiting *expired =
			take_expired(c, clock_mono_ms(), &next);

		if (expired == NULL) {
			wait_until(c, next);
			continue;
		}
		pthread_mutex_unlock(&c->lock);
		while (expired != NULL) {
			struct waiting *w = expired;

			expired = w->next;
			give_up(w);
		}
		pthread_mutex_lock(&c->lock);
	}
	return NULL;
}

struct connections *connections_new(void)
{
	struct connections *c = must_alloc(sizeof(*c));
	pthread_condattr_t clock;
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&c->changed, &clock);
	pthread_condattr_destroy(&clock);
	must(thread_start(reap, c, STACK_BYTES, NULL));
	return c;
}

bool connections_take(struct connections *c, struct str key, struct arena *a,
	struct connection *x_r)
{
	for (;;) {
		struct waiting *found = NULL;

		pthread_mutex_lock(&c->lock);
		for (struct waiting **p = &c->first; *p != NULL;
			p = &(*p)->next)
			if (str_eqc(key, (*p)->key)) {
				found = *p;
				*p = found->next;
				c->n--;
				break;
			}
		pthread_mutex_unlock(&c->lock);
		if (found == NULL)
			return false;
		/* A server that says something now says that it goes, or has
		 * gone. */
		bool quiet = !stream_has_input(found->x.client.stream);
		if (quiet) {
			*x_r = found->x;
			x_r->client.a = a;
		} else {
			smtp_client_close(&found->x.client, false);
		}
		free(found->key);
		free(found);
		if (quiet)
			return true;
	}
}

void connections_put(struct connections *c, struct str key,
	struct connection *x, int64_t idle_ms)
{
	struct waiting *w = must_alloc(sizeof(*w));

	*w = (struct waiting){.x = *x,
		.key = str_heap(key),
		.until_ms = clock_mono_ms() + idle_ms};
	/* They lay in the last mail's memory. */
	w->x.client.a = NULL;
	w->x.client.auth_mechs = w->x.client.xforward = STR_NONE;
	pthread_mutex_lock(&c->lock);
	bool room = c->n < WAITING_MAX;
	if (room) {
		w->next = c->first;
		c->first = w;
		c->n++;
		pthread_cond_signal(&c->changed);
	}
	pthread_mutex_unlock(&c->lock);
	if (!room)
		give_up(w);
}
