/* SPDX-License-Identifier: ISC */
#include "codec/sqlite/page.h"

enum {
	FILE_HEADER = 100,
	TABLE_LEAF = 0x0d,
	INDEX_LEAF = 0x0a,
	INDEX_INSIDE = 0x02
};

static uint64_t number(struct str s, size_t at, size_t n)
{
	uint64_t value = 0;

	for (size_t i = 0; i < n && at + i < s.len; i++)
		value = value << 8 | (unsigned char)s.ptr[at + i];
	return value;
}

/* 1.6: up to nine octets, seven bits in each, eight in the last */
static bool varint(struct str *s, uint64_t *value_r)
{
	*value_r = 0;
	for (size_t i = 0; i < s->len && i < 9; i++) {
		unsigned char c = (unsigned char)s->ptr[i];

		*value_r =
			i < 8 ? *value_r << 7 | (c & 0x7f) : *value_r << 8 | c;
		if (i == 8 || (c & 0x80) == 0) {
			*s = str_from_at(*s, i + 1);
			return true;
		}
	}
	return false;
}

/* ---- the file ---- */

bool sqlite_header_read(struct str page, struct sqlite_header *h_r)
{
	struct sqlite_header h;

	if (page.len < FILE_HEADER || !str_starts(page, "SQLite format 3"))
		return false;
	h.page_bytes = (size_t)number(page, 16, 2);
	if (h.page_bytes == 1)
		h.page_bytes = 65536;
	size_t reserved = (size_t)number(page, 20, 1);
	if (h.page_bytes < 512 || (h.page_bytes & (h.page_bytes - 1)) != 0 ||
		h.page_bytes < reserved + 480)
		return false;
	h.usable = h.page_bytes - reserved;
	h.free_first = (uint32_t)number(page, 32, 4);
	h.free_pages = (uint32_t)number(page, 36, 4);
	*h_r = h;
	return number(page, 52, 4) == 0;
}

bool sqlite_trunk_read(struct str page, size_t usable, struct sqlite_trunk *t_r)
{
	t_r->next = (uint32_t)number(page, 0, 4);
	t_r->n = (uint32_t)number(page, 4, 4);
	t_r->numbers = str_sub(page, 8, (size_t)t_r->n * 4);
	return page.len >= usable && usable >= 8 && t_r->n <= usable / 4 - 2;
}

uint32_t sqlite_trunk_page(const struct sqlite_trunk *t, uint32_t i)
{
	return (uint32_t)number(t->numbers, (size_t)i * 4, 4);
}

/* ---- a page ---- */

bool sqlite_page_read(
	struct str bytes, size_t usable, bool first, struct sqlite_page *p_r)
{
	size_t at = first ? FILE_HEADER : 0;

	if (bytes.len < usable || usable < at + 12)
		return false;
	unsigned char kind = (unsigned char)bytes.ptr[at];
	if (kind != TABLE_LEAF && kind != INDEX_LEAF && kind != INDEX_INSIDE)
		return false;
	*p_r = (struct sqlite_page){.bytes = str_sub(bytes, 0, usable),
		.usable = usable,
		.numbered = kind == TABLE_LEAF,
		.n = (size_t)number(bytes, at + 3, 2),
		.pointers = at + (kind == INDEX_INSIDE ? 12 : 8),
		.child = kind == INDEX_INSIDE ? 4 : 0};
	return p_r->pointers + p_r->n * 2 <= usable;
}

/* 2.1: how much of a record stands in its page */
static size_t local_size(const struct sqlite_page *p, uint64_t size)
{
	size_t u = p->usable;
	size_t most = p->numbered ? u - 35 : (u - 12) * 64 / 255 - 23;
	size_t least = (u - 12) * 32 / 255 - 23;

	if (size <= most)
		return (size_t)size;
	size_t k = least + (size_t)((size - least) % (u - 4));
	return k <= most ? k : least;
}

bool sqlite_cell_read(
	const struct sqlite_page *p, size_t i, struct sqlite_cell *c_r)
{
	size_t at = (size_t)number(p->bytes, p->pointers + i * 2, 2);
	struct str rest = str_from_at(p->bytes, at + p->child);
	uint64_t rowid = 0;

	*c_r = (struct sqlite_cell){0};
	if (at < p->pointers + p->n * 2 || !varint(&rest, &c_r->size) ||
		(p->numbered && !varint(&rest, &rowid)) ||
		c_r->size > INT32_MAX)
		return false;
	size_t local = local_size(p, c_r->size);
	c_r->rowid = (int64_t)rowid;
	c_r->local = str_sub(rest, 0, local);
	if (local < c_r->size) {
		if (rest.len < local + 4)
			return false;
		c_r->overflow = (uint32_t)number(rest, local, 4);
		return c_r->overflow != 0;
	}
	return c_r->local.len == local;
}

struct str sqlite_overflow(struct str page, size_t usable, uint32_t *next_r)
{
	*next_r = (uint32_t)number(page, 0, 4);
	return str_sub(page, 4, usable - 4);
}

/* ---- a record ---- */

/* Its octets by its serial type. */
static size_t value_size(uint64_t type)
{
	static const unsigned char sizes[] = {0, 1, 2, 3, 4, 6, 8, 8, 0, 0};

	return type < sizeof(sizes) ? sizes[type] : (size_t)((type - 12) / 2);
}

static int64_t signed_number(struct str s)
{
	uint64_t n = number(s, 0, s.len);
	unsigned bits = (unsigned)s.len * 8;

	if (bits > 0 && bits < 64 && (n >> (bits - 1) & 1) != 0)
		n |= UINT64_MAX << bits;
	return (int64_t)n;
}

static struct sqlite_value value_of(uint64_t type, struct str bytes)
{
	if (type == 0)
		return (struct sqlite_value){.kind = SQLITE_V_NULL};
	if (type == 8 || type == 9)
		return (struct sqlite_value){
			.kind = SQLITE_V_INT, .n = (int64_t)type - 8};
	if (type < 8)
		return (struct sqlite_value){
			.kind = type == 7 ? SQLITE_V_REAL : SQLITE_V_INT,
			.n = signed_number(bytes)};
	return (struct sqlite_value){
		.kind = type % 2 == 0 ? SQLITE_V_BLOB : SQLITE_V_TEXT,
		.s = bytes};
}

bool sqlite_record_read(
	struct str record, struct sqlite_value *v, size_t max, size_t *n_r)
{
	struct str types = record, body;
	uint64_t header, type;

	*n_r = 0;
	if (!varint(&types, &header) || header > record.len ||
		header < record.len - types.len)
		return false;
	body = str_from_at(record, (size_t)header);
	types = str_sub(types, 0, (size_t)header - (record.len - types.len));
	while (types.len > 0) {
		if (*n_r == max || !varint(&types, &type) || type == 10 ||
			type == 11 || value_size(type) > body.len)
			return false;
		size_t size = value_size(type);
		v[(*n_r)++] = value_of(type, str_sub(body, 0, size));
		body = str_from_at(body, size);
	}
	return true;
}
