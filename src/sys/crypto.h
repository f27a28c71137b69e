/* SPDX-License-Identifier: ISC */
#ifndef SYS_CRYPTO_H
#define SYS_CRYPTO_H

/*
 * crypto: the few sums that SCRAM needs, by OpenSSL.  Thread-safe.
 * RFC 5802 (SHA-1), RFC 7677 (SHA-256)
 */

#include "codec/sasl/sasl.h"

enum { SCRAM_KEY_MAX = 32 };

/* Bytes of a key of that digest. */
size_t scram_key_bytes(enum scram_digest d);

/* RFC 5802 3: SaltedPassword and the keys made of it. */
struct scram_keys {
	unsigned char client_key[SCRAM_KEY_MAX];
	unsigned char stored_key[SCRAM_KEY_MAX];
	unsigned char server_key[SCRAM_KEY_MAX];
};
void scram_keys_make(enum scram_digest d, struct str password, struct str salt,
	int64_t iterations, struct scram_keys *keys_r);
void scram_hmac(enum scram_digest d, struct str key, struct str data,
	unsigned char out[SCRAM_KEY_MAX]);
void scram_hash(
	enum scram_digest d, struct str data, unsigned char out[SCRAM_KEY_MAX]);

#endif
