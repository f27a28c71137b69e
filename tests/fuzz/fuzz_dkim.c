/* SPDX-License-Identifier: ISC */
#include "tests/fuzz/fuzz.h"

#include "base/must.h"
#include "codec/mail/dkim.h"
#include "sys/signature.h"

static void count(const void *bytes, size_t len, void *ctx)
{
	(void)bytes;
	*(uint64_t *)ctx += len;
}

static void canonical(struct str message, struct arena *a)
{
	struct strs names = {0};
	struct str head, body;
	struct mail_field f;
	struct buf out CLEANUP(buf_fini);

	buf_init(&out, 1 << 24);
	mail_split(message, &head, &body);
	for (struct str rest = head; mail_field_next(&rest, &f);)
		strs_add(&names, a, f.name);
	for (int c = DKIM_SIMPLE; c <= DKIM_RELAXED; c++) {
		uint64_t n = 0, cut = 0;

		dkim_canon_head((enum dkim_canon)c, head, &names, a, &out);
		dkim_canon_body(
			(enum dkim_canon)c, body, UINT64_MAX, count, &n);
		must(n == dkim_body_length((enum dkim_canon)c, body));
		dkim_canon_body((enum dkim_canon)c, body, n / 2, count, &cut);
		must(cut == n / 2);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(SIZE_MAX);
	struct str in = str_of(data, size), bytes;
	struct dkim_signature s;
	struct dkim_tags tags;
	struct dkim_key key;
	struct mail_field f;
	struct buf out;
	const char *why;

	dkim_tags_parse(in, a, &tags);
	dkim_base64(in, a, &bytes);
	if (dkim_key_parse(in, a, &key, &why))
		EVP_PKEY_free(signature_public_key(key.ed25519, key.key));
	EVP_PKEY_free(signature_public_key(false, in));
	dkim_signature_parse(in, a, &s, &why);
	dkim_signature_parse_arc(in, a, &s, &why);
	buf_init(&out, 1 << 24);
	for (struct str rest = in; mail_field_next(&rest, &f);)
		if (dkim_signature_parse(f.value, a, &s, &why)) {
			dkim_canon_own(DKIM_SIMPLE, &f, s.b_text, &out);
			dkim_canon_own(DKIM_RELAXED, &f, s.b_text, &out);
		}
	buf_fini(&out);
	canonical(in, a);
	arena_free(a);
	return 0;
}
