/* SPDX-License-Identifier: ISC */
/*
 * Separate chaining over a power-of-two table; each map has a key of its own.
 */
#include "base/map.h"

#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "base/sip.h"

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
	struct sip_key sip;
};

struct map *map_new(void)
{
	struct map *m = must_alloc(sizeof(*m));

	m->sip = sip_key_new();
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
	struct entry *e = *find(m, key, sip_hash(&m->sip, key));

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
	uint64_t hash = sip_hash(&m->sip, key);
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
	struct entry **p = find(m, key, sip_hash(&m->sip, key));
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
