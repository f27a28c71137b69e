/* SPDX-License-Identifier: ISC */
#include "tests/fuzz/fuzz.h"

#include "base/arena.h"
#include "base/must.h"
#include "codec/mail/date.h"
#include "codec/mail/encword.h"
#include "codec/mail/header.h"

/* Looked for by name, each is found that is there, and no other. */
static void by_name(struct str in, const struct mail_field *x)
{
	struct str one_by_one = in, named = in;
	struct mail_field a_field, b_field;

	while (mail_field_find(&one_by_one, &a_field)) {
		if (!str_ieq(a_field.name, x->name))
			continue;
		must(mail_field_named(&named, x->name, &b_field));
		must(a_field.whole.ptr == b_field.whole.ptr);
		must(str_eq(a_field.value, b_field.value));
	}
	must(!mail_field_named(&named, x->name, &b_field));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(SIZE_MAX);
	struct str in = str_of(data, size), rest = in;

	struct mail_field field;
	int64_t at;
	int zone, n = 0;

	while (mail_field_find(&rest, &field) && n++ < 20)
		by_name(in, &field);
	while (mail_field_next(&in, &field)) {
		mail_unfold(field.value, a);
		encword_decode(field.value, a);
		mail_date_parse(field.value, &at, &zone);
	}
	arena_free(a);
	return 0;
}
