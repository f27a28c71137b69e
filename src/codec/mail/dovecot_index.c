/* SPDX-License-Identifier: ISC */
#include "codec/mail/dovecot_index.h"

#include <string.h>

#include "base/sorted.h"

/* ---- bytes ---- */

struct bytes {
	struct str rest;
	bool bad;
};

static uint32_t number(struct bytes *b, size_t width)
{
	uint32_t n = 0;

	if (b->rest.len < width) {
		b->bad = true;
		return 0;
	}
	for (size_t i = width; i > 0; i--)
		n = n << 8 | (unsigned char)b->rest.ptr[i - 1];
	b->rest = str_from_at(b->rest, width);
	return n;
}

static uint32_t u32(struct bytes *b)
{
	return number(b, 4);
}

static uint32_t u32_at(struct str s, size_t offset)
{
	struct bytes b = {.rest = str_from_at(s, offset)};

	return u32(&b);
}

static struct str take(struct bytes *b, size_t n)
{
	struct str s = str_sub(b->rest, 0, n);

	if (b->rest.len < n)
		b->bad = true;
	b->rest = str_from_at(b->rest, n);
	return s;
}

static size_t padded(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

/* ---- rows ---- */

enum kind { OTHER, KEYWORDS, MDBOX, MAP };

struct dovecot_extension {
	struct str name;
	enum kind kind;
	uint32_t size; /* of its part of a record */
};

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

static struct dovecot_message *row_of(
	const struct dovecot_index *x, uint32_t uid)
{
	size_t i = place_of(x, uid);

	return i < x->n && x->v[i].uid == uid ? &x->v[i] : NULL;
}

const struct dovecot_message *dovecot_index_find(
	const struct dovecot_index *x, uint32_t uid)
{
	const struct dovecot_message *m = row_of(x, uid);

	return m != NULL && !m->expunged ? m : NULL;
}

static struct dovecot_message *add_row(struct dovecot_index *x, uint32_t uid)
{
	if (uid == 0 || (x->n > 0 && x->v[x->n - 1].uid >= uid))
		return NULL; /* UIDs only grow */
	x->v = arena_grown(x->a, x->v, x->n, &x->cap, sizeof(*x->v));
	x->v[x->n] = (struct dovecot_message){.uid = uid};
	return &x->v[x->n++];
}

static void set_flags(struct marks *m, uint32_t add, uint32_t remove)
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

/* fn for each row between two UIDs, both in. */
static void each(struct dovecot_index *x, uint32_t first, uint32_t last,
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

static struct dovecot_extension *extension_named(
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

static void set_part(struct dovecot_message *m,
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
		struct dovecot_extension *e = extension_named(x, name);
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
	struct dovecot_message *m = add_row(x, u32_at(row, 0));

	if (m == NULL || row.len < 5)
		return;
	set_flags(&m->marks, (unsigned char)row.ptr[4], 0);
	for (size_t i = 0; i < n_parts; i++)
		set_part(m, parts[i].e,
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

/* ---- dovecot.index.log ---- */

enum {
	T_EXPUNGE = 0x1,
	T_APPEND = 0x2,
	T_FLAGS = 0x4,
	T_HEADER = 0x20,
	T_EXT_INTRO = 0x40,
	T_EXT_RECORD = 0x200,
	T_KEYWORDS = 0x400,
	T_KEYWORDS_RESET = 0x800,
	T_EXPUNGE_GUID = 0x2000,
	T_EXPUNGE_MARK = 0xcd90, /* stands beside the two kinds of it */
	T_MASK = 0xfffffff,
	T_EXTERNAL = 0x10000000,
	NEW_EXTENSION = 0xffffffff
};

/* Sizes are written so that half of one is seen as none: 7 bits a byte. */
static uint32_t size_of(struct str s)
{
	uint32_t n = 0;

	for (size_t i = 0; i < 4; i++) {
		unsigned char c = (unsigned char)s.ptr[i];

		if ((c & 0x80) == 0)
			return 0;
		n = n << 7 | (c & 0x7f);
	}
	return n << 2;
}

static void expunge(struct dovecot_message *m, void *ctx)
{
	(void)ctx;
	m->expunged = true;
}

static void log_expunge(struct dovecot_index *x, struct bytes *b, bool guid)
{
	while (b->rest.len >= (guid ? 20u : 8u)) {
		uint32_t first = u32(b), last = guid ? first : u32(b);

		if (guid)
			take(b, 16);
		each(x, first, last, expunge, NULL);
	}
}

static void log_append(struct dovecot_index *x, struct bytes *b)
{
	while (b->rest.len >= 8) {
		struct dovecot_message *m = add_row(x, u32(b));
		uint32_t flags = number(b, 1);

		take(b, 3);
		if (m == NULL)
			continue;
		set_flags(&m->marks, flags, 0);
		if (x->uidnext <= m->uid)
			x->uidnext = m->uid + 1;
	}
}

static void change_flags(struct dovecot_message *m, void *ctx)
{
	const uint32_t *v = ctx;

	set_flags(&m->marks, v[0], v[1]);
}

static void log_flags(struct dovecot_index *x, struct bytes *b)
{
	while (b->rest.len >= 12) {
		uint32_t first = u32(b), last = u32(b);
		uint32_t v[2] = {number(b, 1), number(b, 1)};

		take(b, 2);
		each(x, first, last, change_flags, v);
	}
}

static void log_header(struct dovecot_index *x, struct bytes *b)
{
	while (b->rest.len >= 4) {
		uint32_t offset = number(b, 2), size = number(b, 2);
		struct str data = take(b, padded(size, 4));

		if (offset <= 24 && offset + size >= 28)
			x->uidvalidity = u32_at(data, 24 - offset);
		if (offset <= 28 && offset + size >= 32)
			x->uidnext = u32_at(data, 28 - offset);
	}
}

/* A new one by its name, a known one by its number. */
static struct dovecot_extension *log_intro(
	struct dovecot_index *x, struct bytes *b)
{
	uint32_t id = u32(b);
	struct dovecot_extension *e = NULL;

	u32(b); /* reset id */
	u32(b); /* size of its header */
	uint32_t size = number(b, 2);
	number(b, 2); /* alignment */
	number(b, 2); /* flags */
	uint32_t name_size = number(b, 2);
	struct str name = take(b, name_size);
	if (b->bad)
		return NULL;
	if (id == NEW_EXTENSION)
		e = name.len > 0 ? extension_named(x, name) : NULL;
	else if (id < x->n_extensions)
		e = &x->extensions[id];
	if (e != NULL)
		e->size = size;
	return e;
}

static void log_record(struct dovecot_index *x, struct bytes *b,
	const struct dovecot_extension *e)
{
	size_t size = padded(e->size, 4);

	while (size > 0 && b->rest.len >= 4 + size) {
		struct dovecot_message *m = row_of(x, u32(b));
		struct str data = take(b, size);

		if (m != NULL)
			set_part(m, e, str_sub(data, 0, e->size));
	}
}

struct keyword_change {
	uint32_t type; /* 0 add, 1 remove, 2 replace all by it */
	size_t bit;
};

static void change_keyword(struct dovecot_message *m, void *ctx)
{
	const struct keyword_change *k = ctx;
	uint64_t bit = (uint64_t)1 << k->bit % 64;

	if (k->type == 2)
		memset(m->keywords, 0, sizeof(m->keywords));
	if (k->type == 1)
		m->keywords[k->bit / 64] &= ~bit;
	else
		m->keywords[k->bit / 64] |= bit;
}

static void no_keywords(struct dovecot_message *m, void *ctx)
{
	(void)ctx;
	memset(m->keywords, 0, sizeof(m->keywords));
}

static void log_keywords(struct dovecot_index *x, struct bytes *b)
{
	struct keyword_change k = {.type = number(b, 1)};

	number(b, 1);
	uint32_t size = number(b, 2);
	struct str name = take(b, size);
	take(b, padded(4 + size, 4) - 4 - size);
	while (k.bit < x->names.n && !str_eq(x->names.v[k.bit], name))
		k.bit++;
	if (b->bad || size == 0 || k.bit >= DOVECOT_KEYWORDS)
		return;
	if (k.bit == x->names.n)
		strs_add(&x->names, x->a, arena_str(x->a, name));
	while (b->rest.len >= 8) {
		uint32_t first = u32(b), last = u32(b);

		each(x, first, last, change_keyword, &k);
	}
}

static void take_piece(struct dovecot_index *x, uint32_t type, struct bytes *b,
	struct dovecot_extension **e)
{
	uint32_t plain = type & T_MASK;

	if ((plain & T_EXPUNGE_MARK) == T_EXPUNGE_MARK) {
		plain &= ~(uint32_t)T_EXPUNGE_MARK;
		/* Without that, it is only asked for. */
		if ((type & T_EXTERNAL) != 0)
			log_expunge(x, b, plain == T_EXPUNGE_GUID);
	} else if (plain == T_APPEND) {
		log_append(x, b);
	} else if (plain == T_FLAGS) {
		log_flags(x, b);
	} else if (plain == T_HEADER) {
		log_header(x, b);
	} else if (plain == T_EXT_INTRO) {
		*e = log_intro(x, b);
	} else if (plain == T_EXT_RECORD && *e != NULL) {
		log_record(x, b, *e);
	} else if (plain == T_KEYWORDS) {
		log_keywords(x, b);
	} else if (plain == T_KEYWORDS_RESET) {
		while (b->rest.len >= 8) {
			uint32_t first = u32(b), last = u32(b);

			each(x, first, last, no_keywords, NULL);
		}
	}
}

bool dovecot_index_log(struct dovecot_index *x, struct str file)
{
	struct bytes head = {.rest = file};
	struct dovecot_extension *e = NULL;

	if (number(&head, 1) != 1)
		return false;
	number(&head, 1);
	uint32_t size = number(&head, 2);
	u32(&head); /* id of the index */
	uint32_t seq = u32(&head);
	if (head.bad || size < 24 || size > file.len)
		return false;
	if (seq < x->log_seq)
		return true; /* all of it is in the table */
	size_t at = seq == x->log_seq && x->log_offset >= size ? x->log_offset
							       : size;
	struct str rest = str_from_at(file, at);
	while (rest.len >= 8) {
		uint32_t n = size_of(rest);

		if (n < 8 || n > rest.len)
			break;
		struct bytes b = {.rest = str_sub(rest, 8, n - 8)};
		take_piece(x, u32_at(rest, 4), &b, &e);
		rest = str_from_at(rest, n);
	}
	return true;
}

/* ---- u.N and m.N ---- */

enum { RECORD_HEADER_MIN = 30 };

static bool hex(struct str s, uint64_t *n_r)
{
	*n_r = 0;
	for (size_t i = 0; i < s.len; i++) {
		int digit = ascii_hex(s.ptr[i]);

		if (digit < 0 || *n_r > UINT64_MAX >> 4)
			return false;
		*n_r = *n_r << 4 | (uint64_t)digit;
	}
	return s.len > 0;
}

bool dovecot_file_begin(struct str file, size_t *offset_r)
{
	struct str line = str_sub(file, 0, 200);
	ptrdiff_t nl = str_find(line, '\n');

	/* "2 M1e C6b08823a" */
	if (!str_starts(line, "2 M") || nl < 0)
		return false;
	*offset_r = (size_t)nl + 1;
	return true;
}

static void take_metadata(struct str text, struct dovecot_record *r)
{
	while (str_present(text)) {
		struct str line = str_cut(&text, '\n');
		uint64_t n;

		if (line.len == 0)
			return;
		if (line.ptr[0] == 'R' && hex(str_from_at(line, 1), &n))
			r->received = (int64_t)n;
		r->parts_elsewhere |= line.ptr[0] == 'X';
	}
}

bool dovecot_file_record(
	struct str file, size_t offset, struct dovecot_record *r_r)
{
	/* "\1\2N" 11 blanks, 16 digits, "\n" */
	struct str head = str_sub(file, offset, RECORD_HEADER_MIN);
	uint64_t size;

	*r_r = (struct dovecot_record){0};
	if (head.len < RECORD_HEADER_MIN || !str_starts(head, "\001\002N") ||
		head.ptr[29] != '\n' || !hex(str_sub(head, 13, 16), &size))
		return false;
	struct str rest = str_from_at(file, offset + RECORD_HEADER_MIN);
	if (size > rest.len)
		return false;
	r_r->bytes = str_sub(rest, 0, (size_t)size);
	rest = str_from_at(rest, (size_t)size);
	if (!str_starts(rest, "\n\001\003\n"))
		return false;
	take_metadata(str_from_at(rest, 4), r_r);
	return true;
}
