/* SPDX-License-Identifier: ISC */
#include "net/tls_pairs.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>

#include "base/must.h"
#include "codec/postfix/lines.h"
#include "net/tls.h"

static void add_pair(struct tls_pair_paths *p, struct arena *a, struct str cert,
	struct str key)
{
	if (cert.len == 0)
		return;
	p->v[p->n++] = arena_cstr(a, cert);
	p->v[p->n++] = arena_cstr(a, key.len > 0 ? key : cert);
}

void tls_pairs_paths(const struct tls_pairs *pairs, struct arena *a,
	struct tls_pair_paths *paths_r)
{
	struct str rest = pairs->chain_files, item;

	*paths_r = (struct tls_pair_paths){.mixed = rest.len > 0};
	if (!paths_r->mixed) {
		add_pair(paths_r, a, pairs->cert_file, pairs->key_file);
		add_pair(paths_r, a, pairs->ec_cert_file, pairs->ec_key_file);
		return;
	}
	while (paths_r->n < TLS_PAIR_FILES_MAX &&
		str_present(item = list_item(&rest)))
		paths_r->v[paths_r->n++] = arena_cstr(a, item);
}

static bool use_chain(SSL_CTX *ctx, const char *path)
{
	return SSL_CTX_use_certificate_chain_file(ctx, path) == 1;
}

static bool use_key(SSL_CTX *ctx, const char *path)
{
	return SSL_CTX_use_PrivateKey_file(ctx, path, SSL_FILETYPE_PEM) == 1;
}

bool tls_pairs_load(
	SSL_CTX *ctx, const struct tls_pair_paths *paths, struct fault *f)
{
	const char *bad = NULL;
	char why[160];

	for (size_t i = 0; i < paths->n && bad == NULL; i++) {
		const char *path = paths->v[i];
		bool ok = paths->mixed
				  ? use_key(ctx, path) && use_chain(ctx, path)
			  : i % 2 == 0 ? use_chain(ctx, path)
				       : use_key(ctx, path);

		if (!ok)
			bad = path;
	}
	if (bad == NULL && paths->n > 0 && SSL_CTX_check_private_key(ctx) != 1)
		bad = paths->v[0];
	return bad == NULL || fault_set(f, FAULT_TEMP, 454, 7, 0, "%s: %s", bad,
				      tls_error_text(why, sizeof(why)));
}

bool tls_leaf_of(const char *path, struct arena *a, struct str *spki_hex_r,
	struct str *issuer_r, struct fault *f)
{
	FILE *file = fopen(path, "re");
	unsigned char sum[EVP_MAX_MD_SIZE], *key = NULL;
	unsigned n = 0;
	char hex[2 * EVP_MAX_MD_SIZE + 1], issuer[256] = "";

	if (file == NULL)
		return fault_sys(f, "%s", path);
	X509 *cert = PEM_read_X509(file, NULL, NULL, NULL);
	fclose(file);
	ERR_clear_error();
	if (cert == NULL)
		return fault_set(f, FAULT_PERM, 0, 7, 0,
			"%s: no certificate in PEM", path);
	int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &key);
	must(len > 0 &&
		EVP_Digest(key, (size_t)len, sum, &n, EVP_sha256(), NULL) == 1);
	X509_NAME_get_text_by_NID(X509_get_issuer_name(cert),
		NID_organizationName, issuer, sizeof(issuer));
	for (unsigned i = 0; i < n; i++)
		snprintf(hex + 2 * i, 3, "%02x", sum[i]);
	*spki_hex_r = arena_str(a, str_from(hex));
	*issuer_r = arena_str(a, str_from(issuer));
	OPENSSL_free(key);
	X509_free(cert);
	return true;
}
