/* SPDX-License-Identifier: ISC */
#include "codec/postfix/characters.h"

#include <string.h>

static bool octal(struct str *rest, unsigned *value_r)
{
	size_t n = 0;

	*value_r = 0;
	while (n < 3 && n < rest->len && rest->ptr[n] >= '0' &&
		rest->ptr[n] <= '7')
		*value_r = *value_r * 8 + (unsigned)(rest->ptr[n++] - '0');
	*rest = str_from_at(*rest, n);
	return n > 0 && *value_r < 256;
}

/* Behind the backslash. */
static bool escaped(struct str *rest, unsigned *value_r)
{
	static const char names[] = "abfnrtv\\";
	static const char values[] = "\a\b\f\n\r\t\v\\";
	const char *at =
		rest->len > 0 ? memchr(names, rest->ptr[0], sizeof(names) - 1)
			      : NULL;

	if (at == NULL)
		return octal(rest, value_r);
	*value_r = (unsigned char)values[at - names];
	*rest = str_from_at(*rest, 1);
	return true;
}

bool characters_parse(struct str text, struct characters *set_r)
{
	*set_r = (struct characters){0};
	while (text.len > 0) {
		unsigned c = (unsigned char)text.ptr[0];

		text = str_from_at(text, 1);
		if (c == '\\' && !escaped(&text, &c))
			return false;
		set_r->has[c] = set_r->any = true;
	}
	return true;
}

struct str characters_only(const struct characters *set, struct str s,
	char instead, struct arena *a)
{
	char *out = arena_alloc(a, s.len + 1);

	for (size_t i = 0; i < s.len; i++)
		out[i] = set->has[(unsigned char)s.ptr[i]] ? s.ptr[i] : instead;
	return str_of(out, s.len);
}

size_t characters_find(const struct characters *set, struct str s, size_t at)
{
	while (at < s.len && !set->has[(unsigned char)s.ptr[at]])
		at++;
	return at;
}
