/* SPDX-License-Identifier: ISC */
#ifndef NET_TLS_PAIRS_H
#define NET_TLS_PAIRS_H

/*
 * tls_pairs: private keys with their certificate chains, as Postfix's
 * parameters name them.  postconf(5) smtpd_tls_chain_files, smtp_tls_cert_file
 */

#include <openssl/ssl.h>

#include "base/arena.h"
#include "base/fault.h"

enum { TLS_PAIR_FILES_MAX = 16 };

struct tls_pairs {
	struct str chain_files; /* list; when set, the others do not count */
	struct str cert_file, key_file;
	struct str ec_cert_file, ec_key_file; /* a second pair; empty: none */
};

struct tls_pair_paths {
	const char *v[TLS_PAIR_FILES_MAX];
	size_t n;
	bool mixed; /* keys and chains stand together in each file */
};

/* None when nothing is set.  The strings live in the arena. */
void tls_pairs_paths(const struct tls_pairs *pairs, struct arena *a,
	struct tls_pair_paths *paths_r);
/* False with a fault that names the file. */
bool tls_pairs_load(
	SSL_CTX *ctx, const struct tls_pair_paths *paths, struct fault *f);

/* The first certificate of a file: SHA-256 of its public key in hex (RFC 6698
 * "1 1"), and the organization of its issuer.  In the arena. */
bool tls_leaf_of(const char *path, struct arena *a, struct str *spki_hex_r,
	struct str *issuer_r, struct fault *f);

#endif
