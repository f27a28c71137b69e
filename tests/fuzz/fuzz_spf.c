/* SPDX-License-Identifier: ISC */
#include "tests/fuzz/fuzz.h"

#include "base/must.h"
#include "codec/mail/spf.h"

static struct str validated(void *ctx)
{
	(void)ctx;
	return STR("unknown");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned char addr[4] = {192, 0, 2, 1};
	struct arena *a = arena_new(SIZE_MAX);
	struct str in = str_of(data, size), text, why;
	struct spf_record r;
	struct spf_macros m = {.sender = STR("a-b+c@sub.example.com"),
		.local = STR("a-b+c"),
		.sender_domain = STR("sub.example.com"),
		.domain = STR("example.com"),
		.addr = addr,
		.addr_len = sizeof(addr),
		.helo = STR("mx.example.org"),
		.receiver = STR("example.net"),
		.now = 1,
		.validated = validated};

	if (spf_is_record(in) && spf_record_parse(in, a, &r, &why)) {
		for (size_t i = 0; i < r.n; i++)
			if (str_present(r.v[i].domain))
				must(spf_expand_domain(r.v[i].domain, &m, a)
						.len <= 253);
		if (str_present(r.redirect))
			spf_expand_domain(r.redirect, &m, a);
		if (str_present(r.exp))
			spf_expand_domain(r.exp, &m, a);
	}
	spf_expand_text(in, &m, a, &text);
	arena_free(a);
	return 0;
}
