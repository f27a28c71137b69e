/* SPDX-License-Identifier: ISC */
#include "tests/fuzz/fuzz.h"

#include "codec/mail/dmarc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(SIZE_MAX);
	struct dmarc_record r;

	dmarc_is_record(str_of(data, size));
	dmarc_record_parse(str_of(data, size), a, &r);
	arena_free(a);
	return 0;
}
