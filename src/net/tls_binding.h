/* SPDX-License-Identifier: ISC */
#ifndef NET_TLS_BINDING_H
#define NET_TLS_BINDING_H

/*
 * tls_binding: what ties a SASL exchange to its TLS session: RFC 5056,
 * tls-exporter (RFC 9266, TLS 1.3), tls-server-end-point (RFC 5929).
 */

#include <openssl/ssl.h>

#include "base/arena.h"

struct tls_binding {
	struct str exporter; /* absent below TLS 1.3 */
	struct str end_point; /* absent where the certificate has no digest */
};

/* The server's certificate counts, on both sides.  Strings live in the arena.
 * NULL: no TLS. */
struct tls_binding tls_binding_of(SSL *ssl, struct arena *a);

#endif
