/* SPDX-License-Identifier: ISC */
#ifndef BASE_BUF_H
#define BASE_BUF_H

/*
 * buf: the one growable byte buffer.  Its maximum is stated at birth; a put
 * beyond it writes nothing and sets a mark that stays until buf_reset, so
 * that a caller may put many things and ask once.  Owns its memory.
 */

#include <stdarg.h>

#include "base/attr.h"
#include "base/str.h"

struct buf {
	char *data;
	size_t len;
	size_t cap;
	size_t max;
	bool over;
};

void buf_init(struct buf *b, size_t max_bytes);
void buf_fini(struct buf *b); /* also for CLEANUP */
void buf_reset(struct buf *b); /* empty again, memory kept */
void buf_shrink(struct buf *b); /* empty again, memory given back */

void buf_put(struct buf *b, struct str s);
void buf_put_mem(struct buf *b, const void *p, size_t len);
void buf_puts(struct buf *b, const char *cstring);
void buf_putf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_putv(struct buf *b, const char *fmt, va_list args);
void buf_put_u64(struct buf *b, uint64_t value); /* decimal */

/* Drops n bytes at the front. */
void buf_consume(struct buf *b, size_t n);
/* Cuts to len bytes. */
void buf_truncate(struct buf *b, size_t len);
/* Room for at least n more bytes at data + len; false beyond the maximum. */
bool buf_reserve(struct buf *b, size_t n);
static inline void buf_putc(struct buf *b, char c)
{
	if ((b->len < b->cap && !b->over) || buf_reserve(b, 1))
		b->data[b->len++] = c;
}

struct str buf_str(const struct buf *b);
bool buf_over(const struct buf *b);

#endif
