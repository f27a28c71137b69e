/* SPDX-License-Identifier: ISC */
#ifndef NET_TLS_SNI_H
#define NET_TLS_SNI_H

/*
 * tls_sni: a certificate for each name that a client asks for, RFC 6066 3;
 * postconf(5) tls_server_sni_maps.
 *
 * The table gives a list of PEM files (key and chain, as in
 * smtpd_tls_chain_files) for "name" or for ".parent".  A name that is not
 * there gets the service's own certificate, and so does one whose files do
 * not load (logged).  Files are watched as tls.h says.  Thread-safe.
 */

#include "net/tls.h"

struct tls_sni;

/* NULL without maps.  files: of the service, kept by value. */
struct tls_sni *tls_sni_new(const struct tls_files *files);
void tls_sni_free(struct tls_sni *s);
/* Makes contexts answer by name. */
void tls_sni_attach(struct tls_sni *s, SSL_CTX *ctx);

#endif
