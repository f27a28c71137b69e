/* SPDX-License-Identifier: ISC */
#ifndef BASE_STR_H
#define BASE_STR_H

/*
 * str: a view of bytes that somebody else owns.  Passed by value; a NULL
 * pointer means "absent", which is not the same as empty.  Never
 * NUL-terminated by promise.  Case folding is ASCII only, as RFC 5321 2.4
 * wants it for command verbs and domains.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct str {
	const char *ptr;
	size_t len;
};

#define STR(literal) ((struct str){"" literal, sizeof(literal) - 1})
#define STR_NONE ((struct str){0})
/* For printf: "%.*s", STR_ARG(s) */
#define STR_ARG(s) (int)(s).len, (s).ptr != NULL ? (s).ptr : ""

struct str str_from(const char *cstring); /* NULL gives STR_NONE */
static inline struct str str_of(const void *ptr, size_t len)
{
	return (struct str){ptr, len};
}

static inline bool str_present(struct str s)
{
	return s.ptr != NULL;
}

bool str_eq(struct str a, struct str b);
bool str_ieq(struct str a, struct str b);
bool str_eqc(struct str a, const char *b);
bool str_ieqc(struct str a, const char *b);
int str_cmp(struct str a, struct str b);
int str_icmp(struct str a, struct str b);
bool str_starts(struct str s, const char *prefix);
bool str_istarts(struct str s, const char *prefix);
bool str_ends(struct str s, const char *suffix);
bool str_iends(struct str s, struct str suffix);

/* Offset of the first (last) byte c, or -1. */
ptrdiff_t str_find(struct str s, char c);
bool str_has(struct str s, struct str part); /* an empty one is in all */
ptrdiff_t str_rfind(struct str s, char c);
/* Offset of needle ignoring ASCII case, or -1; an empty needle is at 0. */
ptrdiff_t str_isearch(struct str s, struct str needle);

/* Parts, clamped to the string. */
static inline struct str str_sub(struct str s, size_t from, size_t len)
{
	if (from > s.len)
		from = s.len;
	if (len > s.len - from)
		len = s.len - from;
	return (struct str){s.ptr != NULL ? s.ptr + from : NULL, len};
}

static inline struct str str_from_at(struct str s, size_t from)
{
	return str_sub(s, from, s.len);
}
/* Without blanks (space, tab, CR, LF) at the ends. */
struct str str_trim(struct str s);
struct str str_trim_right(struct str s);

/*
 * Cuts *rest at the first byte c: returns what stands before it and moves
 * *rest behind it.  Without c returns all and makes *rest absent.
 */
struct str str_cut(struct str *rest, char c);
/* Next word of *rest, words separated by any byte of seps; absent at end. */
struct str str_word(struct str *rest, const char *seps);

/* Whole string as an unsigned number in base 10; false on anything else. */
bool str_u64(struct str s, uint64_t *value_r);
bool str_i64(struct str s, int64_t *value_r);

/* Heap copy, NUL-terminated; the caller frees it. */
char *str_heap(struct str s);
/* Compares in time that depends on the lengths only (secrets). */
bool str_eq_secret(struct str a, struct str b);

char ascii_lower(char c);
char ascii_upper(char c);
bool ascii_is_alnum(char c);
bool ascii_is_digit(char c);
bool ascii_is_alpha(char c);
/* The value of a digit in base 16, of either case; -1: it is none. */
int ascii_hex(char c);

#endif
