/* SPDX-License-Identifier: ISC */
#ifndef CODEC_MAIL_DOVECOT_PRIVATE_H
#define CODEC_MAIL_DOVECOT_PRIVATE_H

/* Shared by the parts of dovecot_index.h. */

#include "codec/mail/dovecot_index.h"

/* ---- bytes, little endian ---- */

struct bytes {
	struct str rest;
	bool bad;
};

static inline uint32_t number(struct bytes *b, size_t width)
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

static inline uint32_t u32(struct bytes *b)
{
	return number(b, 4);
}

static inline uint32_t u32_at(struct str s, size_t offset)
{
	struct bytes b = {.rest = str_from_at(s, offset)};

	return u32(&b);
}

static inline struct str take(struct bytes *b, size_t n)
{
	struct str s = str_sub(b->rest, 0, n);

	if (b->rest.len < n)
		b->bad = true;
	b->rest = str_from_at(b->rest, n);
	return s;
}

static inline size_t padded(size_t n, size_t to)
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

struct dovecot_message *dovecot_row(
	const struct dovecot_index *x, uint32_t uid);
/* NULL: UIDs only grow. */
struct dovecot_message *dovecot_add_row(struct dovecot_index *x, uint32_t uid);
void dovecot_set_flags(struct marks *m, uint32_t add, uint32_t remove);
/* fn for each row between two UIDs, both in. */
void dovecot_each(struct dovecot_index *x, uint32_t first, uint32_t last,
	void (*fn)(struct dovecot_message *m, void *ctx), void *ctx);
struct dovecot_extension *dovecot_extension_named(
	struct dovecot_index *x, struct str name);
/* Its part of a record. */
void dovecot_set_part(struct dovecot_message *m,
	const struct dovecot_extension *e, struct str data);

#endif
