/* SPDX-License-Identifier: ISC */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/utf8.h"
#include "codec/imap/structure.h"
#include "codec/mail/downgrade.h"
#include "codec/mail/header.h"
#include "codec/mail/mime.h"
#include "codec/mail/surrogate.h"

struct seen {
	char last;
	enum downgrade_to to;
};

/* What mail_downgrade.h promises of every byte. */
static bool look(struct str piece, void *ctx)
{
	struct seen *s = ctx;

	for (size_t i = 0; i < piece.len; i++) {
		char c = piece.ptr[i];

		if (c == '\0' || (c == '\n') != (s->last == '\r') ||
			(s->to == DOWNGRADE_TO_7BIT && (c & 0x80) != 0))
			abort();
		s->last = c;
	}
	return true;
}

/* A header in UTF-8 becomes one in ASCII, and stays a header. */
static void read_surrogate(struct str in, struct arena *a)
{
	struct str head, body, out_head, out_body;
	struct str out = mail_surrogate(in, a);

	mail_split_blank(in, &head, &body);
	mail_split_blank(out, &out_head, &out_body);
	if (!utf8_valid(head))
		return;
	for (size_t i = 0; i < out_head.len; i++)
		if ((out_head.ptr[i] & 0x80) != 0)
			abort();
	if (mime_parse(in, a)->child == NULL && !str_eq(body, out_body))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(SIZE_MAX);
	struct str in = str_of(data, size);

	struct mime_part *root = mime_parse(in, a);
	struct buf out;

	buf_init(&out, 16 << 20);
	imap_put_bodystructure(root, true, a, &out);
	imap_put_envelope(root->head, a, &out);
	buf_reset(&out);
	mime_decode_body(root, &out);
	buf_fini(&out);
	for (int to = DOWNGRADE_TO_8BIT; to <= DOWNGRADE_TO_7BIT; to++) {
		struct seen s = {.to = (enum downgrade_to)to};

		mail_downgrade(in, s.to, a, look, &s);
	}
	read_surrogate(in, a);
	arena_free(a);
	return 0;
}
