/* SPDX-License-Identifier: ISC */
#include <string.h>

#include "base/sorted.h"
#include "codec/mail/dovecot_private.h"

/* ---- rows ---- */

struct dovecot_index dovecot_index_new(struct arena *a)
{
	return (struct dovecot_index){.a = a};
}

static int row_by_uid(const void *uid, const void *row)
{
	return sorted_by_u32(uid, &((const struct dovecot_message *)row)->uid);
}

/* Of the first that has this UID or one above. */
static size_t place_of(const struct dovecot_index *x, uint32_t uid)
{
	return sorted_lower(&uid, x->v, x->n, sizeof(*x->v), row_by_uid);
}

struct dovecot_message *dovecot_row(const struct dovecot_index *x, uint32_t uid)
{
	size_t i = place_of(x, uid);

	return i < x->n && x->v[i].uid == uid ? &x->v[i] : NULL;
}

const struct dovecot_message *dovecot_index_find(
	const struct dovecot_index *x, uint32_t uid)
{
	const struct dovecot_message *m = dovecot_row(x, uid);

	return m != NULL && !m->expunged ? m : NULL;
}

struct dovecot_message *dovecot_add_row(struct dovecot_index *x, uint32_t uid)
{
	if (uid == 0 || (x->n > 0 && x->v[x->n - 1].uid >= uid))
		return NULL; /* UIDs only grow */
	x->v = arena_grown(x->a, x->v, x->n, &x->cap, sizeof(*x->v));
	x->v[x->n] = (struct dovecot_message){.uid = uid};
	return &x->v[x->n++];
}

void dovecot_set_flags(struct marks *m, uint32_t add, uint32_t remove)
{
	bool *const bits[] = {
		&m->answered, &m->flagged, &m->deleted, &m->seen, &m->draft};

	for (size_t i = 0; i < sizeof(bits) / sizeof(*bits); i++) {
		if ((remove & 1u << i) != 0)
			*bits[i] = false;
		if ((add & 1u << i) != 0)
			*bits[i] = true;
	}
}

void dovecot_each(struct dovecot_index *x, uint32_t first, uint32_t last,
	void (*fn)(struct dovecot_message *m, void *ctx), void *ctx)
{
	for (size_t i = place_of(x, first); i < x->n && x->v[i].uid <= last;
		i++)
		fn(&x->v[i], ctx);
}

/* ---- parts of a record that others added ---- */

static enum kind kind_of(struct str name)
{
	return str_eqc(name, "keywords") ? KEYWORDS
	       : str_eqc(name, "mdbox")  ? MDBOX
	       : str_eqc(name, "map")    ? MAP
					 : OTHER;
}

struct dovecot_extension *dovecot_extension_named(
	struct dovecot_index *x, struct str name)
{
	for (size_t i = 0; i < x->n_extensions; i++)
		if (str_eq(x->extensions[i].name, name))
			return &x->extensions[i];
	x->extensions = arena_grown(x->a, x->extensions, x->n_extensions,
		&x->cap_extensions, sizeof(*x->extensions));
	x->extensions[x->n_extensions] = (struct dovecot_extension){
		.name = arena_str(x->a, name), .kind = kind_of(name)};
	return &x->extensions[x->n_extensions++];
}

void dovecot_set_part(struct dovecot_message *m,
	const struct dovecot_extension *e, struct str data)
{
	struct bytes b = {.rest = data};

	if (e->kind == MDBOX && data.len >= 4)
		m->map_uid = u32(&b);
	if (e->kind == MAP && data.len >= 8) {
		m->file = u32(&b);
		m->offset = u32(&b);
	}
	for (size_t i = 0;
		e->kind == KEYWORDS && i < data.len && i < DOVECOT_KEYWORDS / 8;
		i++)
		m->keywords[i / 8] |= (uint64_t)(unsigned char)data.ptr[i]
				      << (i % 8 * 8);
}

/* ---- dovecot.index ---- */

enum { BASE_HEADER = 120, EXTENSIONS_MAX = 64 };

struct part {
	const struct dovecot_extension *e;
	uint32_t offset;
};

/* Header of the keywords: a count, pairs with the offset of each name, the
 * names. */
static void take_names(struct dovecot_index *x, struct str header)
{
	struct bytes b = {.rest = header};
	uint32_t n = u32(&b);
	struct str texts = str_from_at(header, 4 + (size_t)n * 8);

	for (uint32_t i = 0; i < n && !b.bad && i < DOVECOT_KEYWORDS; i++) {
		u32(&b);
		struct str name = str_from_at(texts, u32(&b));
		const char *end =
			name.len > 0 ? memchr(name.ptr, '\0', name.len) : NULL;

		if (end != NULL)
			name.len = (size_t)(end - name.ptr);
		strs_add(&x->names, x->a, arena_str(x->a, name));
	}
}

/* Behind the base header, each on a boundary of 8: what others added. */
static size_t take_extensions(
	struct dovecot_index *x, struct str header, struct part *parts)
{
	struct bytes b = {.rest = header};
	size_t n = 0;

	while (n < EXTENSIONS_MAX && b.rest.len >= 16) {
		uint32_t header_size = u32(&b);

		u32(&b); /* reset id */
		uint32_t offset = number(&b, 2), size = number(&b, 2);
		number(&b, 2); /* alignment */
		uint32_t name_size = number(&b, 2);
		struct str name = take(&b, name_size);
		take(&b, padded(16 + name_size, 8) - 16 - name_size);
		if (b.bad)
			break;
		struct dovecot_extension *e = dovecot_extension_named(x, name);
		e->size = size;
		parts[n++] = (struct part){e, offset};
		struct str own = str_sub(b.rest, 0, header_size);
		b.rest = str_from_at(b.rest, padded(header_size, 8));
		if (e->kind == KEYWORDS && own.len >= 4)
			take_names(x, own);
	}
	return n;
}

static void take_row(struct dovecot_index *x, struct str row,
	const struct part *parts, size_t n_parts)
{
	struct dovecot_message *m = dovecot_add_row(x, u32_at(row, 0));

	if (m == NULL || row.len < 5)
		return;
	dovecot_set_flags(&m->marks, (unsigned char)row.ptr[4], 0);
	for (size_t i = 0; i < n_parts; i++)
		dovecot_set_part(m, parts[i].e,
			str_sub(row, parts[i].offset, parts[i].e->size));
}

bool dovecot_index_table(struct dovecot_index *x, struct str file)
{
	struct bytes b = {.rest = file};
	struct part parts[EXTENSIONS_MAX];

	if (number(&b, 1) != 7)
		return false;
	number(&b, 1);
	uint32_t base = number(&b, 2), header = u32(&b), record = u32(&b);
	if (b.bad || base < BASE_HEADER || header < base || record < 8 ||
		header > file.len)
		return false;
	x->uidvalidity = u32_at(file, 24);
	x->uidnext = u32_at(file, 28);
	uint32_t count = u32_at(file, 32);
	x->log_seq = u32_at(file, 60);
	x->log_offset = u32_at(file, 68);
	/* Their order is how the log names them: none may be missing. */
	x->extensions = NULL;
	x->n_extensions = x->cap_extensions = 0;
	size_t n = take_extensions(x,
		str_sub(file, padded(base, 8), header - padded(base, 8)),
		parts);
	for (uint32_t i = 0; i < n; i++)
		if (parts[i].e->name.len == 0)
			return false;
	struct str rows = str_from_at(file, header);
	for (; count > 0 && rows.len >= record; count--) {
		take_row(x, str_sub(rows, 0, record), parts, n);
		rows = str_from_at(rows, record);
	}
	return true;
}
