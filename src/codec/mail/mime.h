/* SPDX-License-Identifier: ISC */
#ifndef CODEC_MAIL_MIME_H
#define CODEC_MAIL_MIME_H

/*
 * mime_part: the structure of a message.
 *
 * RFC 2045 5 (Content-Type), 6 (encodings), RFC 2046 5.1 (multipart), 5.2
 * RFC 2183 (Content-Disposition), RFC 2231 (continuations, joined)
 *
 * Reads anything; what is broken becomes text/plain or a leaf.  Bounded:
 * depth, number of parts and parameters.  Linear in the message for each
 * level of nesting.  Pure; views point into the message or the arena.
 */

#include "base/arena.h"

enum { MIME_DEPTH_MAX = 50, MIME_PARTS_MAX = 10000, MIME_PARAMS_MAX = 64 };

struct mime_param {
	struct str name; /* lower case */
	struct str value; /* unquoted */
};

struct mime_value { /* Content-Type or Content-Disposition */
	struct str type; /* lower case; "text" */
	struct str subtype; /* lower case; absent for a disposition */
	struct mime_param *params;
	size_t n_params;
};

struct mime_part {
	struct str head; /* with its last CRLF */
	struct str body; /* as it stands, still encoded */
	struct mime_value content;
	struct mime_value disposition; /* type absent without */
	struct str encoding; /* lower case, "7bit" by default */
	size_t lines; /* line ends in body */
	struct mime_part *child; /* first part, or the message in a message */
	struct mime_part *next; /* sibling */
};

/* Never fails.  The result lives in the arena. */
struct mime_part *mime_parse(struct str message, struct arena *a);

bool mime_is(
	const struct mime_part *part, const char *type, const char *subtype);
struct str mime_param(const struct mime_value *value, const char *name);

/* "type/subtype; a=b" or "attachment; filename=x"; false when empty. */
bool mime_value_parse(struct str value, bool with_subtype, struct arena *a,
	struct mime_value *value_r);

/* Part by number path ("1.2"): RFC 9051 6.4.5.1.  NULL when there is none. */
const struct mime_part *mime_part_at(
	const struct mime_part *root, const uint32_t *path, size_t n);

/* The decoded bytes of a leaf's body. */
struct buf;
void mime_decode_body(const struct mime_part *part, struct buf *out);

#endif
