/* SPDX-License-Identifier: ISC */
#include "net/answers.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/must.h"
#include "sys/clock.h"

enum {
	ENTRIES = 8192, /* of a generation */
	BYTES = 4 << 20,
	ANSWER_BYTES = 16 * 1024, /* the largest that is kept */
	TTL_MAX_S = 3600,
	NEGATIVE_MAX_S = 60, /* what is missing is often about to come */
};

struct kept {
	struct arena *a;
	struct dns_answer answer;
	int64_t until_ms;
};

struct generation {
	struct map *map;
	size_t bytes;
};

struct answers {
	pthread_mutex_t lock;
	struct generation young, old;
};

static void free_kept(void *p)
{
	struct kept *k = p;

	if (k != NULL)
		arena_free(k->a); /* it lives in its own arena */
}

struct answers *answers_new(void)
{
	struct answers *c = must_alloc(sizeof(*c));

	pthread_mutex_init(&c->lock, NULL);
	c->young.map = map_new();
	c->old.map = map_new();
	return c;
}

void answers_free(struct answers *c)
{
	if (c == NULL)
		return;
	map_free(c->young.map, free_kept);
	map_free(c->old.map, free_kept);
	free(c);
}

static struct str key_of(struct str name, int type, struct arena *a)
{
	return arena_lower(a, arena_printf(a, "%d %.*s", type, STR_ARG(name)));
}

static struct dns_answer copy(const struct dns_answer *from, struct arena *a)
{
	struct dns_answer to = {.kind = from->kind, .secure = from->secure};

	if (str_present(from->canonical))
		to.canonical = arena_str(a, from->canonical);
	for (size_t i = 0; i < from->data.n; i++)
		strs_add(&to.data, a, arena_str(a, from->data.v[i]));
	return to;
}

bool answers_get(struct answers *c, struct str name, int type, struct arena *a,
	struct dns_answer *answer_r)
{
	struct str key = key_of(name, type, a);
	bool found = false;

	pthread_mutex_lock(&c->lock);
	const struct kept *k = map_get(c->young.map, key);
	if (k == NULL)
		k = map_get(c->old.map, key);
	if (k != NULL && clock_mono_ms() < k->until_ms) {
		*answer_r = copy(&k->answer, a);
		found = true;
	}
	pthread_mutex_unlock(&c->lock);
	return found;
}

static void make_room(struct answers *c)
{
	if (map_count(c->young.map) < ENTRIES && c->young.bytes < BYTES)
		return;
	map_free(c->old.map, free_kept);
	c->old = c->young;
	c->young = (struct generation){.map = map_new()};
}

static size_t size_of(const struct dns_answer *answer)
{
	size_t n = answer->canonical.len;

	for (size_t i = 0; i < answer->data.n; i++)
		n += answer->data.v[i].len;
	return n;
}

void answers_put(struct answers *c, struct str name, int type,
	const struct dns_answer *answer, int ttl_s)
{
	int most = answer->kind == DNS_OK ? TTL_MAX_S : NEGATIVE_MAX_S;
	size_t size = size_of(answer);

	if (ttl_s <= 0 || size > ANSWER_BYTES)
		return;
	struct arena *a = arena_new(SIZE_MAX);
	struct kept *k = arena_make(a, struct kept);
	*k = (struct kept){.a = a,
		.answer = copy(answer, a),
		.until_ms = clock_mono_ms() +
			    (int64_t)(ttl_s < most ? ttl_s : most) * 1000};
	struct str key = key_of(name, type, a);
	pthread_mutex_lock(&c->lock);
	make_room(c);
	free_kept(map_set(c->young.map, key, k));
	c->young.bytes += size + key.len + 256;
	pthread_mutex_unlock(&c->lock);
}
