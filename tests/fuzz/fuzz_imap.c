/* SPDX-License-Identifier: ISC */
#include "tests/fuzz/fuzz.h"

#include "base/arena.h"
#include "codec/imap/parse.h"
#include "codec/imap/utf7.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(SIZE_MAX);
	struct str in = str_of(data, size);

	struct imap_in p = {.rest = in, .a = a};
	struct str s;
	struct strs flags;
	struct imap_set set;
	uint64_t n;
	bool plus;

	imap_literal_announced(in, &n, &plus);
	imap_utf7_decode(in, a, &s);
	imap_tag(&p, &s);
	while (!imap_end(&p))
		if (!imap_space(&p) && !imap_flag_list(&p, &flags) &&
			!imap_set_parse(&p, &set) && !imap_mailbox(&p, &s) &&
			!imap_astring(&p, &s) && !imap_list_mailbox(&p, &s))
			p.rest = str_from_at(p.rest, 1);
	arena_free(a);
	return 0;
}
