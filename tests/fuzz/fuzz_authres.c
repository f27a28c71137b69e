/* SPDX-License-Identifier: ISC */
#include "tests/fuzz/fuzz.h"

#include "base/must.h"
#include "codec/mail/authres.h"
#include "codec/mail/header.h"

/* What we write is one field, and claims to be ours. */
static void write_and_read(struct str in)
{
	struct buf out CLEANUP(buf_fini);
	struct authres_writer w = {.out = &out};
	struct mail_field f;
	struct str rest;

	buf_init(&out, 1 << 20);
	authres_begin(&w, "Authentication-Results", STR("mx.example.com"));
	authres_result(&w, "spf", "fail");
	authres_reason(&w, in);
	authres_property(&w, "smtp.mailfrom", in);
	authres_end(&w);
	rest = buf_str(&out);
	must(mail_field_next(&rest, &f) && rest.len == 0);
	must(authres_claims(f.value, STR("MX.example.com")));
	must(!authres_claims(f.value, STR("mx.example.org")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_of(data, size);

	authres_claims(in, STR("mx.example.com"));
	authres_find(in, "dmarc");
	write_and_read(in);
	return 0;
}
