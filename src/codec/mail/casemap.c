/* SPDX-License-Identifier: ISC */
#include "codec/mail/casemap.h"

#include <stdlib.h>
#include <string.h>
#include <unicase.h>
#include <uninorm.h>

#include "base/utf8.h"

static char lower(char c)
{
	return (char)(c | (c >= 'A' && c <= 'Z' ? 0x20 : 0));
}

/* Of a known length: the compiler takes many at once. */
enum { BLOCK = 64 };
static void lower_block(char *restrict to, const char *restrict from)
{
	for (size_t i = 0; i < BLOCK; i++)
		to[i] = lower(from[i]);
}

static void put_ascii(struct str s, struct buf *out)
{
	size_t i = 0;

	if (!buf_reserve(out, s.len))
		return;
	char *to = out->data + out->len;
	for (; s.len - i >= BLOCK; i += BLOCK)
		lower_block(to + i, s.ptr + i);
	for (; i < s.len; i++)
		to[i] = lower(s.ptr[i]);
	out->len += s.len;
}

void casemap_put(struct str s, struct buf *out)
{
	size_t len = 0;
	uint8_t *folded = NULL;

	if (!utf8_is_ascii(s))
		folded = u8_casefold((const uint8_t *)s.ptr, s.len, NULL,
			UNINORM_NFKD, NULL, &len);
	if (folded == NULL) {
		put_ascii(s, out);
		return;
	}
	buf_put(out, str_of(folded, len));
	free(folded);
}

struct str casemap(struct str s, struct arena *a)
{
	struct buf b CLEANUP(buf_fini);

	/* NFKD can make eighteen characters of one. */
	buf_init(&b, s.len * 24 + 64);
	casemap_put(s, &b);
	return arena_str(a, buf_str(&b));
}

bool casemap_has(struct str text, struct str needle, struct buf *scratch)
{
	buf_reset(scratch);
	casemap_put(text, scratch);
	return str_has(buf_str(scratch), needle);
}
