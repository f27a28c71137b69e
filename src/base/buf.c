/* SPDX-License-Identifier: ISC */
#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"

/* Most hold no more: a line, a name, an answer. */
enum { FIRST_BYTES = 256 };

void buf_init(struct buf *b, size_t max_bytes)
{
	must(max_bytes > 0);
	*b = (struct buf){.max = max_bytes};
}

void buf_fini(struct buf *b)
{
	free(b->data);
	*b = (struct buf){.max = b->max};
}

void buf_reset(struct buf *b)
{
	b->len = 0;
	b->over = false;
}

void buf_shrink(struct buf *b)
{
	size_t max = b->max;

	buf_fini(b);
	b->max = max;
}

bool buf_reserve(struct buf *b, size_t n)
{
	if (b->over || n > b->max || b->len > b->max - n) {
		b->over = true;
		return false;
	}
	if (b->cap - b->len >= n)
		return true;
	size_t cap = b->cap > 0 ? b->cap : FIRST_BYTES;
	while (cap < b->len + n)
		cap *= 2;
	if (cap > b->max)
		cap = b->max;
	b->data = must_realloc(b->data, cap);
	b->cap = cap;
	return true;
}

void buf_put_mem(struct buf *b, const void *p, size_t len)
{
	if (len == 0 || !buf_reserve(b, len))
		return;
	memcpy(b->data + b->len, p, len);
	b->len += len;
}

void buf_put(struct buf *b, struct str s)
{
	buf_put_mem(b, s.ptr, s.len);
}

void buf_puts(struct buf *b, const char *cstring)
{
	buf_put_mem(b, cstring, strlen(cstring));
}

void buf_putv(struct buf *b, const char *fmt, va_list args)
{
	size_t room = b->over ? 0 : b->cap - b->len;
	va_list again;

	/* Most fits into what is there. */
	va_copy(again, args);
	int n = vsnprintf(room > 0 ? b->data + b->len : NULL, room, fmt, again);
	va_end(again);
	must(n >= 0);
	/* vsnprintf needs one byte more for its NUL; the maximum counts it. */
	if (!buf_reserve(b, (size_t)n + 1))
		return;
	if ((size_t)n >= room)
		vsnprintf(b->data + b->len, (size_t)n + 1, fmt, args);
	b->len += (size_t)n;
}

void buf_putf(struct buf *b, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	buf_putv(b, fmt, args);
	va_end(args);
}

void buf_put_u64(struct buf *b, uint64_t value)
{
	char digits[20];
	size_t i = sizeof(digits);

	do {
		digits[--i] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	buf_put_mem(b, digits + i, sizeof(digits) - i);
}

void buf_consume(struct buf *b, size_t n)
{
	must(n <= b->len);
	if (n == 0)
		return;
	memmove(b->data, b->data + n, b->len - n);
	b->len -= n;
}

void buf_truncate(struct buf *b, size_t len)
{
	must(len <= b->len);
	b->len = len;
}

struct str buf_str(const struct buf *b)
{
	return (struct str){b->data != NULL ? b->data : "", b->len};
}

bool buf_over(const struct buf *b)
{
	return b->over;
}
