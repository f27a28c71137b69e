/* SPDX-License-Identifier: ISC */
#ifndef SYS_SIGNATURE_H
#define SYS_SIGNATURE_H

/*
 * signature: RSA (PKCS #1 v1.5) and Ed25519 over SHA-256, as DKIM uses them.
 *
 * RFC 6376 3.3.1, RFC 8463 3.  By OpenSSL; thread-safe.
 */

#include <openssl/evp.h>

#include "base/arena.h"
#include "base/fault.h"

enum { SHA256_BYTES = 32 };

struct sha256 {
	EVP_MD_CTX *ctx;
	size_t n; /* pending: canonical text comes word by word */
	unsigned char pending[1024];
};
void sha256_init(struct sha256 *h);
void sha256_put(const void *bytes, size_t len, void *h); /* a dkim_put_f */
/* Ends it: must be called once. */
void sha256_done(struct sha256 *h, unsigned char out[SHA256_BYTES]);

/* NULL when the bytes are no such key. */
EVP_PKEY *signature_public_key(bool ed25519, struct str bytes);
unsigned signature_key_bits(const EVP_PKEY *key);
bool signature_is_ed25519(const EVP_PKEY *key);
/* text is what is signed, not yet hashed. */
bool signature_verify(EVP_PKEY *key, struct str text, struct str signature);
struct str signature_make(EVP_PKEY *key, struct str text, struct arena *a);

/* A private key in PEM. */
EVP_PKEY *signature_load(const char *path, struct fault *f);
EVP_PKEY *signature_generate(bool ed25519, unsigned bits);
/* The public half as p= of a key record has it, before base64. */
struct str signature_public_bytes(EVP_PKEY *key, struct arena *a);
/* The private half in PEM (PKCS #8). */
struct str signature_private_pem(EVP_PKEY *key, struct arena *a);

#endif
