/* SPDX-License-Identifier: ISC */
/* Where things are in what is in order.  bsearch(3) knows no lower bound, and
 * takes no NULL where there is nothing. */
#ifndef POSTERN_BASE_SORTED_H
#define POSTERN_BASE_SORTED_H

#include <stddef.h>
#include <stdint.h>

/* The first of n items of size bytes that key does not follow; n where it
 * follows all.  cmp as bsearch has it: the key, then an item. */
static inline size_t sorted_lower(const void *key, const void *v, size_t n,
	size_t size, int (*cmp)(const void *key, const void *item))
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (cmp(key, (const char *)v + mid * size) > 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* One that is equal, the first of them; NULL: there is none. */
static inline const void *sorted_find(const void *key, const void *v, size_t n,
	size_t size, int (*cmp)(const void *key, const void *item))
{
	size_t i = sorted_lower(key, v, n, size, cmp);
	const void *item = i < n ? (const char *)v + i * size : NULL;

	return item != NULL && cmp(key, item) == 0 ? item : NULL;
}

static inline int sorted_by_u32(const void *key, const void *item)
{
	uint32_t a = *(const uint32_t *)key, b = *(const uint32_t *)item;

	return (a > b) - (a < b);
}

static inline int sorted_by_i64(const void *key, const void *item)
{
	int64_t a = *(const int64_t *)key, b = *(const int64_t *)item;

	return (a > b) - (a < b);
}

#endif
