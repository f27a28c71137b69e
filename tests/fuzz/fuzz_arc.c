/* SPDX-License-Identifier: ISC */
#include "tests/fuzz/fuzz.h"

#include "base/must.h"
#include "codec/mail/arc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(SIZE_MAX);
	struct arc_chain chain;
	const char *why;
	struct buf out;

	if (arc_chain_parse(str_of(data, size), a, &chain, &why)) {
		must(chain.n <= ARC_SETS_MAX);
		buf_init(&out, 1 << 24);
		for (unsigned i = 1; i <= chain.n; i++)
			arc_seal_text(&chain, 1, i, &out);
		buf_fini(&out);
	}
	arena_free(a);
	return 0;
}
