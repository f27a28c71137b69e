/* SPDX-License-Identifier: ISC */
#ifndef NET_TLS_EXPECT_H
#define NET_TLS_EXPECT_H

/*
 * tls_expect: what the certificate of a server must be.  Said to a client's
 * SSL before the handshake, which fails when it is not.
 */

#include <openssl/ssl.h>

#include "base/arena.h"
#include "codec/dns/rdata.h"

/* A chain to an authority of ours, and this name, or one that is said beside
 * it: a host, an address, or ".domain" for all that is below it.
 * RFC 9525 6.3 */
void tls_expect_name(SSL *ssl, const char *name);
/* The same for each of them: one is enough. */
void tls_expect_names(
	SSL *ssl, const struct strs *names, bool many_labels, struct arena *a);

/*
 * RFC 7672 3: what TLSA records allow.  base: the name that they were found
 * below; other: a second name that a certificate may show.  Returns how many
 * records can be used; with 0 nothing is expected.
 */
size_t tls_expect_dane(SSL *ssl, struct str base, struct str other,
	const struct dns_tlsa *records, size_t n, struct arena *a);

#endif
