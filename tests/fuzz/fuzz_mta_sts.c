/* SPDX-License-Identifier: ISC */
#include "tests/fuzz/fuzz.h"

#include "codec/smtp/mta_sts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(SIZE_MAX);
	struct str in = str_of(data, size), id;
	struct mta_sts_policy p;

	mta_sts_record_parse(in, &id);
	if (mta_sts_policy_parse(in, a, &p)) {
		mta_sts_mx_matches(&p, STR("mx.example.com"));
		mta_sts_mx_matches(&p, in);
	}
	arena_free(a);
	return 0;
}
