/* SPDX-License-Identifier: ISC */
/* Handshakes of a stream. */
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <string.h>

#include "base/must.h"
#include "net/stream_private.h"
#include "net/tls.h"
#include "net/tls_expect.h"
#include "sys/waiting.h"

static bool handshake(struct stream *s, int (*step)(SSL *), struct fault *f)
{
	char why[160];

	for (;;) {
		ERR_clear_error();
		int n = step(s->ssl);
		if (n == 1)
			return true;
		int error = SSL_get_error(s->ssl, n);
		bool go_on = (error == SSL_ERROR_WANT_READ &&
				     stream_wait_for(s, POLLIN)) ||
			     (error == SSL_ERROR_WANT_WRITE &&
				     stream_wait_for(s, POLLOUT));
		if (go_on)
			continue;
		s->failed = true;
		long verify = SSL_get_verify_result(s->ssl);
		if (s->timed_out)
			fault_set(f, FAULT_TEMP, 454, 7, 0,
				"TLS handshake timed out");
		else if (verify != X509_V_OK)
			fault_set(f, FAULT_TEMP, 454, 7, 0,
				"certificate not trusted: %s",
				X509_verify_cert_error_string(verify));
		else
			fault_set(f, FAULT_TEMP, 454, 7, 0,
				"TLS handshake failed: %s",
				error == SSL_ERROR_SYSCALL
					? "connection lost"
					: tls_error_text(why, sizeof(why)));
		return false;
	}
}

static void attach(struct stream *s, SSL *ssl)
{
	must(s->ssl == NULL);
	s->ssl = ssl;
	SSL_set_fd(ssl, s->fd);
}

bool stream_tls_accept(struct stream *s, SSL *ssl, struct fault *f)
{
	attach(s, ssl);
	/* Half a millisecond of arithmetic, and then the client's turn. */
	waiting_begin();
	bool ok = handshake(s, SSL_accept, f);
	waiting_end();
	return ok;
}

bool stream_tls_connect(struct stream *s, SSL *ssl, const char *name,
	bool verify, struct fault *f)
{
	attach(s, ssl);
	if (name != NULL && strchr(name, '[') == NULL)
		SSL_set_tlsext_host_name(ssl, name);
	if (verify)
		tls_expect_name(ssl, name);
	return handshake(s, SSL_connect, f);
}

bool stream_is_tls(const struct stream *s)
{
	return s->ssl != NULL;
}

SSL *stream_ssl(const struct stream *s)
{
	return s->ssl;
}

const char *stream_tls_version(const struct stream *s)
{
	return s->ssl != NULL ? SSL_get_version(s->ssl) : "";
}

const char *stream_tls_cipher(const struct stream *s)
{
	return s->ssl != NULL ? SSL_get_cipher_name(s->ssl) : "";
}

int stream_tls_bits(const struct stream *s)
{
	return s->ssl != NULL ? SSL_get_cipher_bits(s->ssl, NULL) : 0;
}
