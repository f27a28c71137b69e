/* SPDX-License-Identifier: ISC */
#include "sys/crypto.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/must.h"

static const EVP_MD *md_of(enum scram_digest d)
{
	return d == SCRAM_SHA1 ? EVP_sha1() : EVP_sha256();
}

size_t scram_key_bytes(enum scram_digest d)
{
	return d == SCRAM_SHA1 ? 20 : 32;
}

void scram_hmac(enum scram_digest d, struct str key, struct str data,
	unsigned char out[SCRAM_KEY_MAX])
{
	unsigned len = SCRAM_KEY_MAX;

	must(HMAC(md_of(d), key.ptr, (int)key.len,
		     (const unsigned char *)data.ptr, data.len, out,
		     &len) != NULL);
}

void scram_hash(
	enum scram_digest d, struct str data, unsigned char out[SCRAM_KEY_MAX])
{
	unsigned len = SCRAM_KEY_MAX;

	must(EVP_Digest(data.ptr, data.len, out, &len, md_of(d), NULL) == 1);
}

void scram_keys_make(enum scram_digest d, struct str password, struct str salt,
	int64_t iterations, struct scram_keys *keys_r)
{
	unsigned char salted[SCRAM_KEY_MAX];
	size_t n = scram_key_bytes(d);

	must(PKCS5_PBKDF2_HMAC(password.ptr, (int)password.len,
		     (const unsigned char *)salt.ptr, (int)salt.len,
		     (int)iterations, md_of(d), (int)n, salted) == 1);
	struct str key = str_of(salted, n);
	scram_hmac(d, key, STR("Client Key"), keys_r->client_key);
	scram_hmac(d, key, STR("Server Key"), keys_r->server_key);
	scram_hash(d, str_of(keys_r->client_key, n), keys_r->stored_key);
	OPENSSL_cleanse(salted, sizeof(salted));
}
