/* SPDX-License-Identifier: ISC */
#include "tests/fuzz/fuzz.h"

#include "base/arena.h"
#include "codec/smtp/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(SIZE_MAX);
	struct str in = str_of(data, size);

	struct smtp_reply r;

	smtp_reply_init(&r);
	while (str_present(in))
		if (smtp_reply_feed(&r, str_cut(&in, (char)10)) !=
			SMTP_REPLY_MORE)
			break;
	smtp_reply_fini(&r);
	arena_free(a);
	return 0;
}
