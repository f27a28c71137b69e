/* SPDX-License-Identifier: ISC */
#include "tests/fuzz/fuzz.h"

#include "base/arena.h"
#include "codec/dns/rdata.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(SIZE_MAX);
	struct str in = str_of(data, size);

	struct dns_mx mx;
	struct dns_tlsa tlsa;
	struct str text;

	dns_mx_parse(in, a, &mx);
	dns_tlsa_parse(in, &tlsa);
	dns_txt_parse(in, a, &text);
	dns_srv_text(in, a, &text);
	dns_caa_text(in, a, &text);
	dns_name_parse(&in, a, &text);
	arena_free(a);
	return 0;
}
