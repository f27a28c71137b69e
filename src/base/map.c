/* SPDX-License-Identifier: ISC */
/*
 * Separate chaining over a power-of-two table; the hash is SipHash-1-3 with
 * a random key per map (row 54 of the attack list: hash flooding).
 */
#include "base/map.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/must.h"

struct entry {
	struct entry *next;
	void *value;
	uint64_t hash;
	size_t len;
	char key[];
};

struct map {
	struct entry **slots;
	size_t n_slots;
	size_t count;
	uint64_t k0;
	uint64_t k1;
};

static uint64_t rotl(uint64_t x, int b)
{
	return (x << b) | (x >> (64 - b));
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[0] = rotl(v[0], 32);
	v[2] += v[3];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[2] = rotl(v[2], 32);
}

static uint64_t siphash(const struct map *m, struct str s)
{
	uint64_t v[4] = {m->k0 ^ 0x736f6d6570736575ULL,
		m->k1 ^ 0x646f72616e646f6dULL, m->k0 ^ 0x6c7967656e657261ULL,
		m->k1 ^ 0x7465646279746573ULL};
	size_t i = 0;
	uint64_t w;

	for (; i + 8 <= s.len; i += 8) {
		memcpy(&w, s.ptr + i, 8);
		v[3] ^= w;
		sip_round(v);
		v[0] ^= w;
	}
	w = (uint64_t)s.len << 56;
	for (size_t j = 0; i + j < s.len; j++)
		w |= (uint64_t)(unsigned char)s.ptr[i + j] << (8 * j);
	v[3] ^= w;
	sip_round(v);
	v[0] ^= w;
	v[2] ^= 0xff;
	for (int r = 0; r < 3; r++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

struct map *map_new(void)
{
	struct map *m = must_alloc(sizeof(*m));
	uint64_t key[2];

	must(getrandom(key, sizeof(key), 0) == (ssize_t)sizeof(key));
	m->k0 = key[0];
	m->k1 = key[1];
	m->n_slots = 16;
	m->slots = must_alloc(m->n_slots * sizeof(*m->slots));
	return m;
}

void map_free(struct map *m, void (*free_value)(void *))
{
	if (m == NULL)
		return;
	for (size_t i = 0; i < m->n_slots; i++) {
		struct entry *e = m->slots[i];

		while (e != NULL) {
			struct entry *next = e->next;

			if (free_value != NULL)
				free_value(e->value);
			free(e);
			e = next;
		}
	}
	free(m->slots);
	free(m);
}

static struct entry **find(const struct map *m, struct str key, uint64_t hash)
{
	struct entry **p = &m->slots[hash & (m->n_slots - 1)];

	while (*p != NULL && !((*p)->hash == hash &&
				     str_eq(str_of((*p)->key, (*p)->len), key)))
		p = &(*p)->next;
	return p;
}

void *map_get(const struct map *m, struct str key)
{
	struct entry *e = *find(m, key, siphash(m, key));

	return e != NULL ? e->value : NULL;
}

static void grow(struct map *m)
{
	size_t n = m->n_slots * 2;
	struct entry **slots = must_alloc(n * sizeof(*slots));

	for (size_t i = 0; i < m->n_slots; i++) {
		struct entry *e = m->slots[i];

		while (e != NULL) {
			struct entry *next = e->next;

			e->next = slots[e->hash & (n - 1)];
			slots[e->hash & (n - 1)] = e;
			e = next;
		}
	}
	free(m->slots);
	m->slots = slots;
	m->n_slots = n;
}

void *map_set(struct map *m, struct str key, void *value)
{
	uint64_t hash = siphash(m, key);
	struct entry **p = find(m, key, hash);

	if (*p != NULL) {
		void *old = (*p)->value;

		(*p)->value = value;
		return old;
	}
	struct entry *e = must_alloc(sizeof(*e) + key.len);
	e->value = value;
	e->hash = hash;
	e->len = key.len;
	if (key.len > 0)
		memcpy(e->key, key.ptr, key.len);
	*p = e;
	if (++m->count > m->n_slots)
		grow(m);
	return NULL;
}

void *map_remove(struct map *m, struct str key)
{
	struct entry **p = find(m, key, siphash(m, key));
	struct entry *e = *p;

	if (e == NULL)
		return NULL;
	void *value = e->value;
	*p = e->next;
	free(e);
	m->count--;
	return value;
}

size_t map_count(const struct map *m)
{
	return m->count;
}

void map_each(const struct map *m,
	void (*fn)(struct str key, void *value, void *ctx), void *ctx)
{
	for (size_t i = 0; i < m->n_slots; i++)
		for (struct entry *e = m->slots[i]; e != NULL; e = e->next)
			fn(str_of(e->key, e->len), e->value, ctx);
}
