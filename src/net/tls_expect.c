/* SPDX-License-Identifier: ISC */
#include "net/tls_expect.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

enum { USAGE_DANE_TA = 2, USAGE_DANE_EE = 3 };

void tls_expect_name(SSL *ssl, const char *name)
{
	SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
	/* Only a whole leftmost label may be "*". */
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) != 1)
		SSL_add1_host(ssl, name);
	ERR_clear_error();
}

void tls_expect_names(
	SSL *ssl, const struct strs *names, bool many_labels, struct arena *a)
{
	for (size_t i = 0; i < names->n; i++)
		tls_expect_name(ssl, arena_cstr(a, names->v[i]));
	if (many_labels)
		SSL_set_hostflags(
			ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
				     X509_CHECK_FLAG_MULTI_LABEL_WILDCARDS);
}

/* RFC 7672 3.1.3: the usages that trust public authorities are not for SMTP. */
static bool is_usable(SSL *ssl, const struct dns_tlsa *t)
{
	return (t->usage == USAGE_DANE_TA || t->usage == USAGE_DANE_EE) &&
	       SSL_dane_tlsa_add(ssl, t->usage, t->selector, t->matching,
		       (const unsigned char *)t->data.ptr, t->data.len) > 0;
}

size_t tls_expect_dane(SSL *ssl, struct str base, struct str other,
	const struct dns_tlsa *records, size_t n, struct arena *a)
{
	size_t usable = 0;

	if (SSL_dane_enable(ssl, arena_cstr(a, base)) <= 0) {
		ERR_clear_error();
		return 0;
	}
	for (size_t i = 0; i < n; i++)
		usable += is_usable(ssl, &records[i]);
	ERR_clear_error();
	if (usable == 0)
		return 0;
	/* RFC 7672 3.1.1: a key that DNS names needs no name and no date. */
	SSL_dane_set_flags(ssl, DANE_FLAG_NO_DANE_EE_NAMECHECKS);
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (other.len > 0 && !str_ieq(other, base))
		SSL_add1_host(ssl, arena_cstr(a, other));
	SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
	ERR_clear_error();
	return usable;
}
