/* SPDX-License-Identifier: ISC */
#include "tests/fuzz/fuzz.h"

#include "base/must.h"
#include "codec/smtp/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_of(data, size);
	struct proxy_header whole, part;
	enum proxy_result r = proxy_header_parse(in, &whole);

	must(r != PROXY_OK || whole.bytes <= size);
	must(r != PROXY_OK || whole.local || whole.addr_len == 4 ||
		whole.addr_len == 16);
	/* Less of it is never another header, and never worse. */
	for (size_t i = 0; i < size && i < 200; i++) {
		enum proxy_result p =
			proxy_header_parse(str_sub(in, 0, i), &part);

		must(p != PROXY_OK ||
			(r == PROXY_OK && part.bytes == whole.bytes));
		must(p != PROXY_BAD || r == PROXY_BAD);
	}
	return 0;
}
