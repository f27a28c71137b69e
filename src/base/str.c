/* SPDX-License-Identifier: ISC */
#include "base/str.h"

#include <string.h>

#include "base/must.h"

char ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

char ascii_upper(char c)
{
	return c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
}

bool ascii_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

bool ascii_is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool ascii_is_alnum(char c)
{
	return ascii_is_alpha(c) || ascii_is_digit(c);
}

struct str str_from(const char *cstring)
{
	if (cstring == NULL)
		return STR_NONE;
	return (struct str){cstring, strlen(cstring)};
}

bool str_eq(struct str a, struct str b)
{
	return a.len == b.len &&
	       (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool str_ieq(struct str a, struct str b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (ascii_lower(a.ptr[i]) != ascii_lower(b.ptr[i]))
			return false;
	return true;
}

bool str_eqc(struct str a, const char *b)
{
	return str_eq(a, str_from(b));
}

bool str_ieqc(struct str a, const char *b)
{
	return str_ieq(a, str_from(b));
}

int str_cmp(struct str a, struct str b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int c = n > 0 ? memcmp(a.ptr, b.ptr, n) : 0;

	if (c != 0)
		return c;
	return a.len < b.len ? -1 : a.len > b.len;
}

int str_icmp(struct str a, struct str b)
{
	size_t n = a.len < b.len ? a.len : b.len;

	for (size_t i = 0; i < n; i++) {
		int d = (unsigned char)ascii_lower(a.ptr[i]) -
			(unsigned char)ascii_lower(b.ptr[i]);
		if (d != 0)
			return d;
	}
	return a.len < b.len ? -1 : a.len > b.len;
}

bool str_starts(struct str s, const char *prefix)
{
	size_t n = strlen(prefix);

	return s.len >= n && (n == 0 || memcmp(s.ptr, prefix, n) == 0);
}

bool str_istarts(struct str s, const char *prefix)
{
	size_t n = strlen(prefix);

	return s.len >= n && str_ieq(str_of(s.ptr, n), str_of(prefix, n));
}

bool str_ends(struct str s, const char *suffix)
{
	size_t n = strlen(suffix);

	return s.len >= n &&
	       (n == 0 || memcmp(s.ptr + s.len - n, suffix, n) == 0);
}

bool str_iends(struct str s, struct str suffix)
{
	return s.len >= suffix.len &&
	       str_ieq(str_of(s.ptr + s.len - suffix.len, suffix.len), suffix);
}

bool str_has(struct str s, struct str part)
{
	return part.len == 0 ||
	       (s.len > 0 && memmem(s.ptr, s.len, part.ptr, part.len) != NULL);
}

ptrdiff_t str_find(struct str s, char c)
{
	const char *p = s.len > 0 ? memchr(s.ptr, c, s.len) : NULL;

	return p != NULL ? p - s.ptr : -1;
}

ptrdiff_t str_rfind(struct str s, char c)
{
	const char *p = s.len > 0 ? memrchr(s.ptr, c, s.len) : NULL;

	return p != NULL ? p - s.ptr : -1;
}

ptrdiff_t str_isearch(struct str s, struct str needle)
{
	if (needle.len == 0)
		return 0;
	if (needle.len > s.len)
		return -1;
	char lower = ascii_lower(needle.ptr[0]);
	char upper = ascii_upper(needle.ptr[0]);
	for (size_t i = 0; i + needle.len <= s.len; i++) {
		if (s.ptr[i] != lower && s.ptr[i] != upper)
			continue;
		if (str_ieq(str_of(s.ptr + i, needle.len), needle))
			return (ptrdiff_t)i;
	}
	return -1;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct str str_trim_right(struct str s)
{
	while (s.len > 0 && is_blank(s.ptr[s.len - 1]))
		s.len--;
	return s;
}

struct str str_trim(struct str s)
{
	s = str_trim_right(s);
	while (s.len > 0 && is_blank(s.ptr[0])) {
		s.ptr++;
		s.len--;
	}
	return s;
}

struct str str_cut(struct str *rest, char c)
{
	ptrdiff_t at = str_find(*rest, c);
	struct str head = *rest;

	if (at < 0) {
		*rest = STR_NONE;
		return head;
	}
	head.len = (size_t)at;
	*rest = str_from_at(*rest, head.len + 1);
	return head;
}

struct str str_word(struct str *rest, const char *seps)
{
	size_t i = 0;

	while (i < rest->len && strchr(seps, rest->ptr[i]) != NULL &&
		rest->ptr[i] != '\0')
		i++;
	if (i == rest->len) {
		*rest = STR_NONE;
		return STR_NONE;
	}
	size_t start = i;
	while (i < rest->len &&
		(rest->ptr[i] == '\0' || strchr(seps, rest->ptr[i]) == NULL))
		i++;
	struct str word = str_sub(*rest, start, i - start);
	*rest = str_from_at(*rest, i);
	return word;
}

bool str_u64(struct str s, uint64_t *value_r)
{
	uint64_t v = 0;

	if (s.len == 0)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (!ascii_is_digit(s.ptr[i]) ||
			__builtin_mul_overflow(v, 10, &v) ||
			__builtin_add_overflow(
				v, (uint64_t)(s.ptr[i] - '0'), &v))
			return false;
	}
	*value_r = v;
	return true;
}

bool str_i64(struct str s, int64_t *value_r)
{
	bool negative = s.len > 0 && s.ptr[0] == '-';
	uint64_t v;

	if (s.len > 0 && (s.ptr[0] == '-' || s.ptr[0] == '+'))
		s = str_from_at(s, 1);
	if (!str_u64(s, &v) || v > (uint64_t)INT64_MAX)
		return false;
	*value_r = negative ? -(int64_t)v : (int64_t)v;
	return true;
}

char *str_heap(struct str s)
{
	char *p = must_alloc(s.len + 1);

	if (s.len > 0)
		memcpy(p, s.ptr, s.len);
	return p;
}

bool str_eq_secret(struct str a, struct str b)
{
	unsigned char diff = a.len != b.len;
	size_t n = a.len < b.len ? a.len : b.len;

	for (size_t i = 0; i < n; i++)
		diff |= (unsigned char)(a.ptr[i] ^ b.ptr[i]);
	return diff == 0;
}

int ascii_hex(char c)
{
	c = ascii_lower(c);
	if (ascii_is_digit(c))
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}
