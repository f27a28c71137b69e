/* SPDX-License-Identifier: ISC */
#include "tests/fuzz/fuzz.h"

#include "base/arena.h"
#include "codec/mail/date.h"
#include "codec/mail/encword.h"
#include "codec/mail/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(SIZE_MAX);
	struct str in = str_of(data, size);

	struct mail_field field;
	int64_t at;
	int zone;

	while (mail_field_next(&in, &field)) {
		mail_unfold(field.value, a);
		encword_decode(field.value, a);
		mail_date_parse(field.value, &at, &zone);
	}
	arena_free(a);
	return 0;
}
