/* SPDX-License-Identifier: ISC */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

/*
 * arena: memory with one lifetime.  Three are in use in a session: session,
 * transaction, command.  Memory is zeroed.  Growth beyond the limit still
 * succeeds (each single request is bounded by its caller) but sets a mark;
 * the command loop asks arena_over() and ends the session.
 * One thread at a time.
 */

#include "base/attr.h"
#include "base/str.h"

struct arena;

struct arena *arena_new(size_t limit_bytes);
void arena_free(struct arena *a); /* NULL is fine */
void arena_freep(struct arena **a); /* for CLEANUP */
void arena_reset(struct arena *a);
void arena_trim(struct arena *a); /* the same, all memory given back */
bool arena_over(const struct arena *a);
size_t arena_used(const struct arena *a);

void *arena_alloc(struct arena *a, size_t bytes);
#define arena_make(a, type) ((type *)arena_alloc((a), sizeof(type)))

/* Copies; the result is NUL-terminated, the NUL not counted in len. */
struct str arena_str(struct arena *a, struct str s);
const char *arena_cstr(struct arena *a, struct str s);
struct str arena_lower(struct arena *a, struct str s);
struct str arena_printf(struct arena *a, const char *fmt, ...)
	PRINTF_LIKE(2, 3);
struct str arena_concat(struct arena *a, struct str x, struct str y);
/* As many as there are; absent ones are empty. */
#define arena_join(a, ...)                                                     \
	arena_join_all((a), (const struct str[]){__VA_ARGS__},                 \
		sizeof((const struct str[]){__VA_ARGS__}) /                    \
			sizeof(struct str))
struct str arena_join_all(struct arena *a, const struct str *v, size_t n);

/* An array of n items that has room for one more: v itself, or a larger copy.
 * *cap: items that v has room for. */
void *arena_grown(
	struct arena *a, void *v, size_t n, size_t *cap, size_t item_bytes);

/* A growing list of strings in an arena. */
struct strs {
	struct str *v;
	size_t n;
	size_t cap;
};
void strs_add(struct strs *list, struct arena *a, struct str s);
bool strs_has(const struct strs *list, struct str s);

#endif
