/* SPDX-License-Identifier: ISC */
#include "tests/fuzz/fuzz.h"

#include "base/must.h"
#include "codec/mail/dovecot_index.h"

/* Two bytes say where the table ends; the rest is the log. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(SIZE_MAX);
	struct str in = str_of(data, size);
	struct dovecot_index x = dovecot_index_new(a);
	struct dovecot_record r;
	size_t at = 0;

	if (size >= 2) {
		size_t cut = (size_t)data[0] << 8 | data[1];
		struct str rest = str_from_at(in, 2);

		dovecot_index_table(&x, str_sub(rest, 0, cut));
		dovecot_index_log(&x, str_from_at(rest, cut));
	}
	for (size_t i = 1; i < x.n; i++)
		must(x.v[i - 1].uid < x.v[i].uid);
	if (x.n > 0 && !x.v[0].expunged)
		must(dovecot_index_find(&x, x.v[0].uid) == &x.v[0]);
	must(x.names.n <= DOVECOT_KEYWORDS);
	if (dovecot_file_begin(in, &at))
		must(at <= size);
	dovecot_file_record(in, at, &r);
	arena_free(a);
	return 0;
}
