/* SPDX-License-Identifier: ISC */
#include "tests/fuzz/fuzz.h"

#include "base/arena.h"
#include "codec/imap/structure.h"
#include "codec/mail/mime.h"

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
	arena_free(a);
	return 0;
}
