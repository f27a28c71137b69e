/* SPDX-License-Identifier: ISC */
#include "tests/fuzz/fuzz.h"

#include "base/must.h"
#include "codec/milter/packet.h"

/* A stream of packets, as a filter could send it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_of(data, size);
	struct milter_options o;
	struct milter_reply r;

	while (in.len >= MILTER_HEAD_BYTES) {
		uint32_t n = milter_packet_length(in.ptr);

		must(n <= MILTER_PACKET_MAX);
		in = str_from_at(in, MILTER_HEAD_BYTES);
		if (n == 0)
			break;
		struct str packet = str_sub(in, 0, n);
		if (milter_reply_parse(packet, &r))
			must(r.text.len <= n && r.name.len <= n &&
				r.value.len <= n);
		milter_options_parse(str_from_at(packet, 1), &o);
		in = str_from_at(in, n);
	}
	return 0;
}
