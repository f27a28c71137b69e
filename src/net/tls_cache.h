/* SPDX-License-Identifier: ISC */
#ifndef NET_TLS_CACHE_H
#define NET_TLS_CACHE_H

/*
 * tls_cache: TLS sessions of a client, to be resumed with the same server.
 *
 * In memory and bounded; a session is given out once (RFC 8446 C.4), so that
 * one that fails is not tried again.  The key must name the server and what
 * was asked of its certificate: a resumed session is not verified anew.
 * Any thread.  RFC 8446 2.2, RFC 5077.
 */

#include <openssl/ssl.h>

#include "base/str.h"

struct tls_cache;

/* Sessions older than lifetime_s seconds are not resumed. */
struct tls_cache *tls_cache_new(int64_t lifetime_s);
/* Before the handshake; without a session for the key it does nothing. */
void tls_cache_resume(struct tls_cache *c, struct str key, SSL *ssl);
/* After data was read: TLS 1.3 sends its tickets behind the handshake. */
void tls_cache_keep(struct tls_cache *c, struct str key, SSL *ssl);
void tls_cache_free(struct tls_cache *c);

#endif
