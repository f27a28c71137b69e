/* SPDX-License-Identifier: ISC */
#ifndef NET_TLS_H
#define NET_TLS_H

/*
 * tls: contexts of OpenSSL with our rules: TLS 1.2 and up, no renegotiation,
 * no compression, buffers given back when idle.  RFC 9325, RFC 8997.
 */

#include <openssl/ssl.h>

#include "base/arena.h"
#include "base/fault.h"
#include "conf/table.h"
#include "net/tls_options.h"
#include "net/tls_pairs.h"

/*
 * A server's certificate.  Files are watched: a new version is taken over by
 * the next session, a broken one is ignored while the old one lives.
 * Thread-safe.
 */
struct tls_server;

struct tls_files {
	struct str chain_files; /* list; when set, the others do not count */
	struct str cert_file;
	struct str key_file;
	struct str ec_cert_file, ec_key_file; /* a second pair; empty: none */
	struct str protocols; /* ">=TLSv1.2", "!TLSv1.3" */
	struct tls_options options;
	/* Client certificates: asked for when ask; demanded with require. */
	bool ask_ccert, require_ccert;
	struct str ca_file, ca_path;
	int verify_depth;
	struct maps *sni_maps; /* NULL: one certificate; see tls_sni.h */
	const char *alpn; /* "imap", "pop3", ...; NULL: none is chosen */
};

/* NULL with a fault when a file does not load. */
struct tls_server *tls_server_new(
	const struct tls_files *files, struct fault *f);
void tls_server_free(struct tls_server *t);
SSL *tls_server_session(struct tls_server *t); /* a fresh SSL */
/* Gives a session of another server our certificate. */
void tls_server_lend(struct tls_server *t, SSL *ssl);

struct tls_trust {
	struct str ca_file; /* both empty: the system's */
	struct str ca_path;
	struct str protocols;
	struct tls_options options;
	const struct tls_pair_paths *own; /* NULL: no certificate to show */
	/* Files with certificates that are trusted, and nothing but them;
	 * empty: the authorities above. */
	struct str anchors;
};
SSL_CTX *tls_client_ctx(const struct tls_trust *trust, struct fault *f);
/* Another one with the same trust, and what a policy says beside main.cf;
 * absent or empty values are main.cf's. */
SSL_CTX *tls_client_ctx_like(SSL_CTX *base, const struct conf *c,
	bool mandatory, const struct tls_pair_paths *own, struct str protocols,
	struct str ciphers, struct str exclude, struct fault *f);

/* The client's certificate of a session. */
struct tls_peer {
	bool present;
	bool trusted; /* its chain leads to an authority of ours */
	struct str subject, issuer; /* common names */
	struct str addresses; /* of mail, by blanks; absent without */
	struct str fingerprint, pubkey_fingerprint; /* "AA:BB:..." */
};
/* Strings live in the arena. */
struct tls_peer tls_peer_of(SSL *ssl, const char *digest, struct arena *a);

/* What `postern check` asks: unknown words of a protocol list. */
bool tls_protocols_valid(struct str protocols);
/* The last OpenSSL error as text. */
const char *tls_error_text(char *out, size_t len);

#endif
