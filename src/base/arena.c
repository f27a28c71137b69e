/* SPDX-License-Identifier: ISC */
#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define POISON(p, n) ASAN_POISON_MEMORY_REGION(p, n)
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define POISON(p, n) ((void)0)
#define UNPOISON(p, n) ((void)0)
#endif

enum { BLOCK_BYTES = 4096 - 32, ALIGN = 16 };

struct block {
	struct block *next;
	size_t size;
	size_t used;
	char data[] __attribute__((aligned(ALIGN)));
};

struct arena {
	struct block *first; /* kept over a reset */
	struct block *current;
	size_t used;
	size_t limit;
	bool over;
};

static struct block *block_new(size_t size)
{
	/* arena_alloc clears what it gives out. */
	struct block *b = must_alloc_raw(sizeof(*b) + size);

	b->next = NULL;
	b->size = size;
	b->used = 0;
	POISON(b->data, size);
	return b;
}

struct arena *arena_new(size_t limit_bytes)
{
	struct arena *a = must_alloc(sizeof(*a));

	a->limit = limit_bytes;
	return a;
}

static void free_blocks(struct block *b)
{
	while (b != NULL) {
		struct block *next = b->next;

		UNPOISON(b->data, b->size);
		free(b);
		b = next;
	}
}

void arena_free(struct arena *a)
{
	if (a == NULL)
		return;
	free_blocks(a->first);
	free(a);
}

void arena_freep(struct arena **a)
{
	arena_free(*a);
	*a = NULL;
}

void arena_reset(struct arena *a)
{
	if (a->first != NULL) {
		free_blocks(a->first->next);
		a->first->next = NULL;
		if (a->first->size > BLOCK_BYTES) {
			free_blocks(a->first);
			a->first = NULL;
		} else {
			POISON(a->first->data, a->first->size);
			a->first->used = 0;
		}
	}
	a->current = a->first;
	a->used = 0;
	a->over = false;
}

void arena_trim(struct arena *a)
{
	free_blocks(a->first);
	a->first = a->current = NULL;
	a->used = 0;
	a->over = false;
}

bool arena_over(const struct arena *a)
{
	return a->over;
}

size_t arena_used(const struct arena *a)
{
	return a->used;
}

void *arena_alloc(struct arena *a, size_t bytes)
{
	size_t n = (bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);

	must(n >= bytes);
	if (n == 0)
		n = ALIGN;
	struct block *b = a->current;
	if (b == NULL || b->size - b->used < n) {
		struct block *fresh =
			block_new(n > BLOCK_BYTES ? n : BLOCK_BYTES);
		if (b == NULL)
			a->first = fresh;
		else
			b->next = fresh;
		a->current = b = fresh;
	}
	char *p = b->data + b->used;
	b->used += n;
	a->used += n;
	if (a->used > a->limit)
		a->over = true;
	UNPOISON(p, n);
	memset(p, 0, n);
	return p;
}

struct str arena_str(struct arena *a, struct str s)
{
	if (s.ptr == NULL)
		return s;
	char *p = arena_alloc(a, s.len + 1);
	if (s.len > 0)
		memcpy(p, s.ptr, s.len);
	return str_of(p, s.len);
}

const char *arena_cstr(struct arena *a, struct str s)
{
	struct str copy = arena_str(a, s.ptr != NULL ? s : STR(""));

	return copy.ptr;
}

struct str arena_lower(struct arena *a, struct str s)
{
	char *p = arena_alloc(a, s.len + 1);

	for (size_t i = 0; i < s.len; i++)
		p[i] = ascii_lower(s.ptr[i]);
	return str_of(p, s.len);
}

struct str arena_printf(struct arena *a, const char *fmt, ...)
{
	char most[256];
	va_list args;

	va_start(args, fmt);
	int n = vsnprintf(most, sizeof(most), fmt, args);
	va_end(args);
	must(n >= 0);
	char *p = arena_alloc(a, (size_t)n + 1);
	if ((size_t)n < sizeof(most)) {
		memcpy(p, most, (size_t)n + 1);
		return str_of(p, (size_t)n);
	}
	va_start(args, fmt);
	vsnprintf(p, (size_t)n + 1, fmt, args);
	va_end(args);
	return str_of(p, (size_t)n);
}

struct str arena_concat(struct arena *a, struct str x, struct str y)
{
	return arena_join(a, x, y);
}

struct str arena_join_all(struct arena *a, const struct str *v, size_t n)
{
	size_t len = 0;
	size_t at = 0;

	for (size_t i = 0; i < n; i++)
		len += v[i].len;
	char *p = arena_alloc(a, len + 1);
	for (size_t i = 0; i < n; i++) {
		if (v[i].len > 0)
			memcpy(p + at, v[i].ptr, v[i].len);
		at += v[i].len;
	}
	p[len] = '\0';
	return str_of(p, len);
}

void *arena_grown(
	struct arena *a, void *v, size_t n, size_t *cap, size_t item_bytes)
{
	void *more;

	if (n < *cap)
		return v;
	*cap = *cap > 0 ? *cap * 2 : 16;
	more = arena_alloc(a, *cap * item_bytes);
	if (n > 0)
		memcpy(more, v, n * item_bytes);
	return more;
}

void strs_add(struct strs *list, struct arena *a, struct str s)
{
	if (list->n == list->cap) {
		size_t cap = list->cap > 0 ? list->cap * 2 : 8;
		struct str *v = arena_alloc(a, cap * sizeof(*v));

		if (list->n > 0)
			memcpy(v, list->v, list->n * sizeof(*v));
		list->v = v;
		list->cap = cap;
	}
	list->v[list->n++] = s;
}

bool strs_has(const struct strs *list, struct str s)
{
	for (size_t i = 0; i < list->n; i++)
		if (str_ieq(list->v[i], s))
			return true;
	return false;
}
