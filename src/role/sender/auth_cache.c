/* SPDX-License-Identifier: ISC */
#include "role/sender/auth_cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/map.h"
#include "base/must.h"
#include "base/sip.h"
#include "sys/clock.h"

enum { REFUSALS_MAX = 1000 };

struct refusal {
	uint64_t password; /* its hash, by a key of this process */
	int64_t at; /* clock_mono_ms */
	struct fault fault;
};

struct auth_cache {
	pthread_mutex_t lock;
	struct sip_key key;
	struct map *refusals; /* by host and user */
};

struct auth_cache *auth_cache_new(void)
{
	struct auth_cache *c = must_alloc(sizeof(*c));

	pthread_mutex_init(&c->lock, NULL);
	c->key = sip_key_new();
	c->refusals = map_new();
	return c;
}

static void put_key(const struct auth_attempt *x, struct buf *out)
{
	buf_init(out, 65536);
	buf_put(out, x->host);
	buf_putc(out, '\0');
	buf_put(out, x->user);
}

bool auth_cache_refused(struct auth_cache *c, const struct auth_attempt *x,
	int64_t seconds, struct fault *f)
{
	struct buf key CLEANUP(buf_fini);
	bool found = false;

	put_key(x, &key);
	pthread_mutex_lock(&c->lock);
	const struct refusal *r = map_get(c->refusals, buf_str(&key));
	if (r != NULL && clock_mono_ms() - r->at < seconds * 1000 &&
		r->password == sip_hash(&c->key, x->password)) {
		*f = r->fault;
		found = true;
	}
	pthread_mutex_unlock(&c->lock);
	return found;
}

void auth_cache_note(struct auth_cache *c, const struct auth_attempt *x,
	const struct fault *f)
{
	struct buf key CLEANUP(buf_fini);
	struct refusal *r = must_alloc(sizeof(*r));

	put_key(x, &key);
	*r = (struct refusal){.password = sip_hash(&c->key, x->password),
		.at = clock_mono_ms(),
		.fault = *f};
	pthread_mutex_lock(&c->lock);
	/* Nobody has so many relays: then all are asked once more. */
	if (map_count(c->refusals) >= REFUSALS_MAX) {
		map_free(c->refusals, free);
		c->refusals = map_new();
	}
	free(map_set(c->refusals, buf_str(&key), r));
	pthread_mutex_unlock(&c->lock);
}
