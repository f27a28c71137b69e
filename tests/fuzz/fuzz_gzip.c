/* SPDX-License-Identifier: ISC */
#include "tests/fuzz/fuzz.h"

#include "base/must.h"
#include "sys/gzip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf out, packed, back;

	buf_init(&out, 1 << 20);
	buf_init(&packed, 4 << 20);
	buf_init(&back, 4 << 20);
	gzip_unpack(str_of(data, size), &out);
	must(out.len <= 1 << 20);
	must(gzip_pack(str_of(data, size), &packed));
	must(gzip_unpack(buf_str(&packed), &back));
	must(str_eq(buf_str(&back), str_of(data, size)));
	buf_fini(&out);
	buf_fini(&packed);
	buf_fini(&back);
	return 0;
}
