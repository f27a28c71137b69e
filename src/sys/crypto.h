/* SPDX-License-Identifier: ISC */
#ifndef SYS_CRYPTO_H
#define SYS_CRYPTO_H

/*
 * crypto: the few sums that SCRAM needs, by OpenSSL.  Thread-safe.
 */

#include "base/str.h"

enum { SCRAM_KEY_BYTES = 32 };

/* RFC 5802 3: SaltedPassword and the keys made of it. */
void scram_keys(struct str password, struct str salt, int64_t iterations,
	unsigned char client_key[SCRAM_KEY_BYTES],
	unsigned char stored_key[SCRAM_KEY_BYTES],
	unsigned char server_key[SCRAM_KEY_BYTES]);
/* HMAC-SHA-256 */
void scram_hmac(
	struct str key, struct str data, unsigned char out[SCRAM_KEY_BYTES]);
void scram_hash(struct str data, unsigned char out[SCRAM_KEY_BYTES]);

#endif
