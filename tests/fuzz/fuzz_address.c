/* SPDX-License-Identifier: ISC */
#include "tests/fuzz/fuzz.h"

#include "base/arena.h"
#include "codec/mail/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(SIZE_MAX);
	struct str in = str_of(data, size);

	struct mail_address_list list = {0};

	mail_address_parse(in, 1000, a, &list);
	arena_free(a);
	return 0;
}
