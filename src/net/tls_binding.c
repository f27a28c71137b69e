/* SPDX-License-Identifier: ISC */
#include "net/tls_binding.h"

#include <openssl/x509.h>

enum { EXPORTER_BYTES = 32 };

/* The digest of the certificate's signature; SHA-256 for the broken ones. */
static const EVP_MD *digest_of(const X509 *cert)
{
	int digest = NID_undef, key;

	if (OBJ_find_sigid_algs(X509_get_signature_nid(cert), &digest, &key) !=
			1 ||
		digest == NID_undef)
		return NULL;
	return digest == NID_md5 || digest == NID_sha1
		       ? EVP_sha256()
		       : EVP_get_digestbynid(digest);
}

struct tls_binding tls_binding_of(SSL *ssl, struct arena *a)
{
	static const char label[] = "EXPORTER-Channel-Binding";
	unsigned char out[EVP_MAX_MD_SIZE];
	struct tls_binding b = {0};
	unsigned n = 0;

	if (ssl == NULL)
		return b;
	if (SSL_version(ssl) >= TLS1_3_VERSION &&
		SSL_export_keying_material(ssl, out, EXPORTER_BYTES, label,
			sizeof(label) - 1, NULL, 0, 1) == 1)
		b.exporter = arena_str(a, str_of(out, EXPORTER_BYTES));
	X509 *theirs =
		SSL_is_server(ssl) ? NULL : SSL_get1_peer_certificate(ssl);
	const X509 *cert =
		SSL_is_server(ssl) ? SSL_get_certificate(ssl) : theirs;
	const EVP_MD *md = cert != NULL ? digest_of(cert) : NULL;
	if (md != NULL && X509_digest(cert, md, out, &n) == 1)
		b.end_point = arena_str(a, str_of(out, n));
	X509_free(theirs);
	return b;
}
