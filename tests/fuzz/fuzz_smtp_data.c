/* SPDX-License-Identifier: ISC */
#include "tests/fuzz/fuzz.h"

#include "base/arena.h"
#include "base/must.h"
#include "codec/smtp/data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(SIZE_MAX);
	struct str in = str_of(data, size);

	struct smtp_data d, e;
	struct buf whole, parts;

	/* Any cut gives the same text and the same end. */
	buf_init(&whole, size * 2 + 16);
	buf_init(&parts, size * 2 + 16);
	smtp_data_init(&d);
	smtp_data_init(&e);
	size_t n = smtp_data_feed(&d, in, &whole), m = 0;
	for (size_t i = 0; i < size && e.state != SMTP_DATA_END; i++)
		m += smtp_data_feed(&e, str_sub(in, i, 1), &parts);
	must(n == m && d.state == e.state);
	must(str_eq(buf_str(&whole), buf_str(&parts)));
	must(d.bare_newline == e.bare_newline);
	/* Chunks: any cut gives the same text, all of it, ended. */
	buf_reset(&whole);
	buf_reset(&parts);
	smtp_data_init(&d);
	smtp_data_init(&e);
	smtp_chunk_feed(&d, in, &whole);
	for (size_t i = 0; i < size; i++)
		smtp_chunk_feed(&e, str_sub(in, i, 1), &parts);
	smtp_chunk_end(&d, &whole);
	smtp_chunk_end(&e, &parts);
	must(d.bare_newline == e.bare_newline && d.has_nul == e.has_nul);
	must(str_eq(buf_str(&whole), buf_str(&parts)));
	must(size == 0 || str_ends(buf_str(&whole), "\r\n"));
	must(str_eq(str_sub(buf_str(&whole), 0, size), in));
	buf_fini(&whole);
	buf_fini(&parts);
	arena_free(a);
	return 0;
}
