/* SPDX-License-Identifier: ISC */
#include "net/scram.h"

#include <openssl/crypto.h>
#include <string.h>

#include "codec/mail/base64.h"
#include "codec/sasl/sasl.h"
#include "sys/clock.h"

enum { NONCE_BYTES = 18, ITERATIONS_MIN = 1, ITERATIONS_MAX = 1000000 };

void scram_client_begin(struct scram_client *s, enum scram_digest digest,
	struct str user, struct str password, const char *gs2,
	struct str binding, struct arena *a)
{
	unsigned char nonce[NONCE_BYTES];

	random_fill(nonce, sizeof(nonce));
	*s = (struct scram_client){
		.digest = digest, .password = password, .a = a};
	s->nonce = base64_encode_a(str_of(nonce, sizeof(nonce)), a);
	s->bare = arena_printf(a, "n=%.*s,r=%.*s",
		STR_ARG(scram_name_encode(user, a)), STR_ARG(s->nonce));
	s->gs2 = arena_printf(a, "%s,,", gs2);
	s->binding = binding;
	s->first = arena_concat(a, s->gs2, s->bare);
}

bool scram_client_answer(
	struct scram_client *s, struct str server_first, struct str *final_r)
{
	struct scram_server_first first;
	struct scram_keys keys;
	unsigned char signature[SCRAM_KEY_MAX];
	size_t n = scram_key_bytes(s->digest);
	struct str salt;

	if (!scram_server_first_parse(server_first, &first) ||
		!base64_decode(first.salt, s->a, &salt) ||
		first.iterations < ITERATIONS_MIN ||
		first.iterations > ITERATIONS_MAX ||
		first.nonce.len <= s->nonce.len ||
		!str_eq(str_sub(first.nonce, 0, s->nonce.len), s->nonce))
		return false;
	scram_keys_make(
		s->digest, s->password, salt, (int64_t)first.iterations, &keys);
	struct str bound = arena_concat(s->a, s->gs2, s->binding);
	struct str final = arena_printf(s->a, "c=%.*s,r=%.*s",
		STR_ARG(base64_encode_a(bound, s->a)), STR_ARG(first.nonce));
	struct str message = arena_printf(s->a, "%.*s,%.*s,%.*s",
		STR_ARG(s->bare), STR_ARG(server_first), STR_ARG(final));
	scram_hmac(s->digest, str_of(keys.stored_key, n), message, signature);
	scram_hmac(s->digest, str_of(keys.server_key, n), message,
		s->server_signature);
	for (size_t i = 0; i < n; i++)
		keys.client_key[i] ^= signature[i];
	*final_r = arena_printf(s->a, "%.*s,p=%.*s", STR_ARG(final),
		STR_ARG(base64_encode_a(str_of(keys.client_key, n), s->a)));
	OPENSSL_cleanse(&keys, sizeof(keys));
	return true;
}

bool scram_client_verify(const struct scram_client *s, struct str server_final)
{
	struct str expected = base64_encode_a(
		str_of(s->server_signature, scram_key_bytes(s->digest)), s->a);

	return str_starts(server_final, "v=") &&
	       str_eq_secret(str_from_at(server_final, 2), expected);
}
