/* SPDX-License-Identifier: ISC */
#include "sys/crypto.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/must.h"

void scram_hmac(
	struct str key, struct str data, unsigned char out[SCRAM_KEY_BYTES])
{
	unsigned len = SCRAM_KEY_BYTES;

	must(HMAC(EVP_sha256(), key.ptr, (int)key.len,
		     (const unsigned char *)data.ptr, data.len, out,
		     &len) != NULL);
}

void scram_hash(struct str data, unsigned char out[SCRAM_KEY_BYTES])
{
	unsigned len = SCRAM_KEY_BYTES;

	must(EVP_Digest(data.ptr, data.len, out, &len, EVP_sha256(), NULL) ==
		1);
}

void scram_keys(struct str password, struct str salt, int64_t iterations,
	unsigned char client_key[SCRAM_KEY_BYTES],
	unsigned char stored_key[SCRAM_KEY_BYTES],
	unsigned char server_key[SCRAM_KEY_BYTES])
{
	unsigned char salted[SCRAM_KEY_BYTES];

	must(PKCS5_PBKDF2_HMAC(password.ptr, (int)password.len,
		     (const unsigned char *)salt.ptr, (int)salt.len,
		     (int)iterations, EVP_sha256(), SCRAM_KEY_BYTES,
		     salted) == 1);
	struct str key = str_of(salted, sizeof(salted));
	scram_hmac(key, STR("Client Key"), client_key);
	scram_hmac(key, STR("Server Key"), server_key);
	scram_hash(str_of(client_key, SCRAM_KEY_BYTES), stored_key);
	OPENSSL_cleanse(salted, sizeof(salted));
}
