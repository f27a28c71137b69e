/* SPDX-License-Identifier: ISC */
#include "tests/fuzz/fuzz.h"

#include "base/arena.h"
#include "codec/mail/base64.h"
#include "codec/sasl/sasl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(SIZE_MAX);
	struct str in = str_of(data, size);

	struct sasl_plain plain;
	struct scram_client_first first;
	struct scram_client_final final;
	struct scram_server_first server;
	struct sasl_token token;
	struct str out;

	sasl_plain_parse(in, &plain);
	scram_client_first_parse(in, a, &first);
	scram_client_final_parse(in, &final);
	scram_server_first_parse(in, &server);
	oauthbearer_parse(in, a, &token);
	xoauth2_parse(in, &token);
	base64_decode(in, a, &out);
	arena_free(a);
	return 0;
}
