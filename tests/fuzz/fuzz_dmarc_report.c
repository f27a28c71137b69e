/* SPDX-License-Identifier: ISC */
#include "tests/fuzz/fuzz.h"

#include "base/must.h"
#include "codec/mail/dmarc.h"
#include "codec/mail/dmarc_report.h"

/* What we write of what we read can be read. */
static void again(const struct dmarc_report *r, struct arena *a)
{
	struct buf out CLEANUP(buf_fini);
	struct dmarc_report back;
	struct str why;

	buf_init(&out, 1 << 26);
	dmarc_report_put(r, &out);
	must(dmarc_report_parse(buf_str(&out), a, &back, &why));
	must(back.n == r->n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(SIZE_MAX);
	struct str in = str_of(data, size), why;
	struct dmarc_report report;
	struct dmarc_rua rua[5];

	dmarc_rua_parse(in, 5, a, rua);
	if (dmarc_report_parse(in, a, &report, &why))
		again(&report, a);
	arena_free(a);
	return 0;
}
