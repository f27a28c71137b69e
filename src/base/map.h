/* SPDX-License-Identifier: ISC */
#ifndef BASE_MAP_H
#define BASE_MAP_H

/*
 * map: byte string to pointer, a hash table with a seed of its own, so that
 * a peer cannot choose keys that collide.  Keys are copied.  Not thread-safe.
 */

#include "base/str.h"

struct map;

struct map *map_new(void);
void map_free(struct map *m, void (*free_value)(void *)); /* NULLs are fine */
void *map_get(const struct map *m, struct str key);
/* Sets the value; returns the one it replaced, or NULL. */
void *map_set(struct map *m, struct str key, void *value);
void *map_remove(struct map *m, struct str key);
size_t map_count(const struct map *m);
/* Calls fn for each entry, in no order; fn must not change the map. */
void map_each(const struct map *m,
	void (*fn)(struct str key, void *value, void *ctx), void *ctx);

#endif
