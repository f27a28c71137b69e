/* SPDX-License-Identifier: ISC */
#include "net/tls_cache.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/must.h"
#include "sys/clock.h"

enum { SESSIONS_MAX = 1024 };

struct tls_cache {
	pthread_mutex_t lock;
	struct map *sessions; /* key to SSL_SESSION */
	int64_t lifetime_s;
};

static void free_session(void *session)
{
	SSL_SESSION_free(session);
}

struct tls_cache *tls_cache_new(int64_t lifetime_s)
{
	struct tls_cache *c = must_alloc(sizeof(*c));

	pthread_mutex_init(&c->lock, NULL);
	c->sessions = map_new();
	c->lifetime_s = lifetime_s;
	return c;
}

void tls_cache_resume(struct tls_cache *c, struct str key, SSL *ssl)
{
	pthread_mutex_lock(&c->lock);
	SSL_SESSION *session = map_remove(c->sessions, key);
	pthread_mutex_unlock(&c->lock);
	if (session == NULL)
		return;
	if (SSL_SESSION_get_time(session) + c->lifetime_s > clock_unix())
		SSL_set_session(ssl, session);
	SSL_SESSION_free(session);
}

void tls_cache_keep(struct tls_cache *c, struct str key, SSL *ssl)
{
	const SSL_SESSION *now = SSL_get0_session(ssl);

	if (now == NULL || SSL_SESSION_is_resumable(now) != 1)
		return;
	/* A copy: the end of the connection spoils the session itself. */
	SSL_SESSION *copy = SSL_SESSION_dup(now);
	if (copy == NULL)
		return;
	pthread_mutex_lock(&c->lock);
	/* A cache that is full starts anew: no worse than no cache. */
	if (map_count(c->sessions) >= SESSIONS_MAX) {
		map_free(c->sessions, free_session);
		c->sessions = map_new();
	}
	SSL_SESSION_free(map_set(c->sessions, key, copy));
	pthread_mutex_unlock(&c->lock);
}

void tls_cache_free(struct tls_cache *c)
{
	map_free(c->sessions, free_session);
	pthread_mutex_destroy(&c->lock);
	free(c);
}
