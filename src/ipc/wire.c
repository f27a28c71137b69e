/* SPDX-License-Identifier: ISC */
#include "ipc/wire.h"

enum { ABSENT = UINT32_MAX };

static void put_le(struct buf *b, uint64_t v, size_t n)
{
	char bytes[8];

	for (size_t i = 0; i < n; i++)
		bytes[i] = (char)(v >> (8 * i));
	buf_put_mem(b, bytes, n);
}

void wire_put_u8(struct buf *b, uint8_t v)
{
	put_le(b, v, 1);
}

void wire_put_u32(struct buf *b, uint32_t v)
{
	put_le(b, v, 4);
}

void wire_put_u64(struct buf *b, uint64_t v)
{
	put_le(b, v, 8);
}

void wire_put_str(struct buf *b, struct str s)
{
	wire_put_u32(b, str_present(s) ? (uint32_t)s.len : ABSENT);
	buf_put(b, s);
}

static uint64_t get_le(struct wire *w, size_t n)
{
	uint64_t v = 0;

	if (w->bad || w->rest.len < n) {
		w->bad = true;
		return 0;
	}
	for (size_t i = 0; i < n; i++)
		v |= (uint64_t)(unsigned char)w->rest.ptr[i] << (8 * i);
	w->rest = str_from_at(w->rest, n);
	return v;
}

uint8_t wire_u8(struct wire *w)
{
	return (uint8_t)get_le(w, 1);
}

uint32_t wire_u32(struct wire *w)
{
	return (uint32_t)get_le(w, 4);
}

uint64_t wire_u64(struct wire *w)
{
	return get_le(w, 8);
}

struct str wire_str(struct wire *w)
{
	uint32_t n = wire_u32(w);

	if (w->bad || n == ABSENT)
		return STR_NONE;
	if (n > w->rest.len) {
		w->bad = true;
		return STR_NONE;
	}
	struct str s = str_of(w->rest.ptr, n);
	w->rest = str_from_at(w->rest, n);
	return s;
}

uint32_t wire_count(struct wire *w, size_t min_bytes)
{
	uint32_t n = wire_u32(w);

	if (w->bad || n > w->rest.len / min_bytes) {
		w->bad = true;
		return 0;
	}
	return n;
}

bool wire_ok(const struct wire *w)
{
	return !w->bad && w->rest.len == 0;
}
