/* SPDX-License-Identifier: ISC */
/* dovecot.index.log: what changed since the table was written. */
#include <string.h>

#include "codec/mail/dovecot_private.h"

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
		dovecot_each(x, first, last, expunge, NULL);
	}
}

static void log_append(struct dovecot_index *x, struct bytes *b)
{
	while (b->rest.len >= 8) {
		struct dovecot_message *m = dovecot_add_row(x, u32(b));
		uint32_t flags = number(b, 1);

		take(b, 3);
		if (m == NULL)
			continue;
		dovecot_set_flags(&m->marks, flags, 0);
		if (x->uidnext <= m->uid)
			x->uidnext = m->uid + 1;
	}
}

static void change_flags(struct dovecot_message *m, void *ctx)
{
	const uint32_t *v = ctx;

	dovecot_set_flags(&m->marks, v[0], v[1]);
}

static void log_flags(struct dovecot_index *x, struct bytes *b)
{
	while (b->rest.len >= 12) {
		uint32_t first = u32(b), last = u32(b);
		uint32_t v[2] = {number(b, 1), number(b, 1)};

		take(b, 2);
		dovecot_each(x, first, last, change_flags, v);
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
		e = name.len > 0 ? dovecot_extension_named(x, name) : NULL;
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
		struct dovecot_message *m = dovecot_row(x, u32(b));
		struct str data = take(b, size);

		if (m != NULL)
			dovecot_set_part(m, e, str_sub(data, 0, e->size));
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

		dovecot_each(x, first, last, change_keyword, &k);
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

			dovecot_each(x, first, last, no_keywords, NULL);
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
