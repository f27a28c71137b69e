/* SPDX-License-Identifier: ISC */
#include "tests/fuzz/fuzz.h"

#include "base/arena.h"
#include "base/must.h"
#include "codec/smtp/path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(SIZE_MAX);
	struct str in = str_of(data, size);

	struct smtp_path path;
	struct smtp_bad bad;
	struct str local, domain;

	for (unsigned flags = 0; flags < 32; flags++) {
		struct str rest = in;

		smtp_path_parse(&rest, flags, &path, &bad);
	}
	smtp_address_split(in, &local, &domain);
	smtp_literal_valid(in);
	smtp_domain_is_numeric(in);
	must(smtp_address_unquoted(in, a).len <= in.len);
	arena_free(a);
	return 0;
}
