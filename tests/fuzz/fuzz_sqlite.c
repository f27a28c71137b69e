/* SPDX-License-Identifier: ISC */
#include "tests/fuzz/fuzz.h"

#include "base/must.h"
#include "codec/sqlite/page.h"

enum { PAGE = 512, COLUMNS = 16 };

static void read_page(struct str page, bool first)
{
	struct sqlite_value v[COLUMNS];
	struct sqlite_page p;
	struct sqlite_cell c;
	size_t n;

	if (!sqlite_page_read(page, PAGE, first, &p))
		return;
	for (size_t i = 0; i < p.n; i++) {
		if (!sqlite_cell_read(&p, i, &c))
			continue;
		must(c.local.len <= c.size);
		must((c.overflow == 0) == (c.local.len == c.size));
		if (!sqlite_record_read(c.local, v, COLUMNS, &n))
			continue;
		for (size_t k = 0; k < n; k++)
			must(v[k].s.len == 0 ||
				(v[k].s.ptr >= page.ptr &&
					v[k].s.ptr + v[k].s.len <=
						page.ptr + page.len));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_of(data, size);
	struct sqlite_header h;
	struct sqlite_trunk t;
	uint32_t next;

	sqlite_header_read(in, &h);
	if (sqlite_trunk_read(in, PAGE, &t))
		for (uint32_t i = 0; i < t.n; i++)
			sqlite_trunk_page(&t, i);
	if (size >= PAGE)
		sqlite_overflow(in, PAGE, &next);
	for (size_t at = 0; at < size; at += PAGE)
		read_page(str_sub(in, at, PAGE), at == 0);
	return 0;
}
