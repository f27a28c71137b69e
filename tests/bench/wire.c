/* SPDX-License-Identifier: ISC */
#include "tests/bench/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PIECE = 65536 };

double wire_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void wire_die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

struct sockaddr_in wire_address(const char *host, const char *port, bool *tls_r)
{
	struct sockaddr_in a = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};

	if (inet_pton(AF_INET, host, &a.sin_addr) != 1)
		wire_die("%s is no IPv4 address", host);
	*tls_r = strchr(port, 's') != NULL;
	return a;
}

static char *room(struct wire_bytes *b, size_t more)
{
	if (b->at > 0 && b->at == b->n)
		b->at = b->n = 0;
	if (b->n + more > b->cap && b->at > 0) {
		memmove(b->ptr, b->ptr + b->at, b->n - b->at);
		b->n -= b->at;
		b->at = 0;
	}
	if (b->n + more > b->cap) {
		b->cap = (b->n + more) * 2;
		b->ptr = realloc(b->ptr, b->cap);
		if (b->ptr == NULL)
			wire_die("no memory");
	}
	return b->ptr + b->n;
}

static int believe(X509_STORE_CTX *x, void *ctx)
{
	(void)x;
	(void)ctx;
	return 1;
}

/* Load costs as little as it can: it is the servers that are measured. */
static SSL *tls_of(int fd)
{
	static SSL_CTX *ctx;

	if (ctx == NULL) {
		ctx = SSL_CTX_new(TLS_client_method());
		SSL_CTX_set_mode(
			ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
				     SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
		SSL_CTX_set_read_ahead(ctx, 1);
		SSL_CTX_set_cert_verify_callback(ctx, believe, NULL);
		SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256");
		SSL_CTX_set1_groups_list(ctx, "X25519");
		SSL_CTX_set1_sigalgs_list(ctx, "ECDSA+SHA256:RSA-PSS+SHA256");
		SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
		SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
	}
	SSL *ssl = SSL_new(ctx);
	SSL_set_fd(ssl, fd);
	SSL_set_connect_state(ssl);
	return ssl;
}

static void watch(struct wire *w, unsigned events)
{
	struct epoll_event e = {.events = events, .data.ptr = w};

	if (w->watched == events)
		return;
	if (epoll_ctl(w->epoll, w->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD,
		    w->fd, &e) != 0)
		wire_die("epoll: %s", strerror(errno));
	w->watched = events;
}

void wire_open(
	struct wire *w, int epoll, const struct sockaddr_in *to, bool tls)
{
	int one = 1;

	w->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	w->epoll = epoll;
	w->ssl = NULL;
	w->watched = 0;
	w->in.n = w->in.at = w->out.n = w->out.at = 0;
	w->skip = 0;
	if (w->fd < 0 || (connect(w->fd, (const struct sockaddr *)to,
				  sizeof(*to)) != 0 &&
				 errno != EINPROGRESS))
		wire_die("connect: %s", strerror(errno));
	setsockopt(w->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	w->shaking = tls;
	if (tls)
		w->ssl = tls_of(w->fd);
	watch(w, tls ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

void wire_close(struct wire *w)
{
	SSL_free(w->ssl);
	close(w->fd);
	w->fd = -1;
}

/* More than 0: so much moved; 0: not now; below: it is closed. */
static ssize_t result(struct wire *w, ssize_t n)
{
	if (n > 0)
		return n;
	if (w->ssl != NULL) {
		int why = SSL_get_error(w->ssl, (int)n);

		if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
			return 0;
	} else if (n < 0 &&
		   (errno == EAGAIN || errno == EINTR || errno == ENOTCONN)) {
		return 0;
	}
	return -1;
}

static void send_out(struct wire *w)
{
	struct wire_bytes *b = &w->out;

	while (b->at < b->n) {
		const char *from = b->ptr + b->at;
		size_t len = b->n - b->at;
		ssize_t n = result(w,
			w->ssl != NULL ? SSL_write(w->ssl, from, (int)len)
				       : send(w->fd, from, len, MSG_NOSIGNAL));

		if (n < 0)
			wire_die("the server went away");
		if (n == 0)
			break;
		b->at += (size_t)n;
	}
	watch(w, b->at < b->n ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

/* Its last words may come with the end. */
static void take_in(struct wire *w)
{
	size_t before = w->in.n - w->in.at;
	ssize_t n;

	do {
		char *to = room(&w->in, PIECE);

		n = result(w, w->ssl != NULL ? SSL_read(w->ssl, to, PIECE)
					     : recv(w->fd, to, PIECE, 0));
		w->in.n += n > 0 ? (size_t)n : 0;
	} while (n > 0 && (w->ssl != NULL || n == PIECE));
	if (n < 0 && w->in.n - w->in.at == before)
		wire_die("the server went away");
}

void wire_say(struct wire *w, const char *text, size_t len)
{
	memcpy(room(&w->out, len), text, len);
	w->out.n += len;
	if (!w->shaking)
		send_out(w);
}

void wire_move(struct wire *w)
{
	if (w->shaking) {
		ssize_t n = result(w, SSL_do_handshake(w->ssl));

		if (n < 0)
			wire_die("the server went away in the handshake");
		if (n == 0) {
			/* Else it would turn round and round meanwhile. */
			watch(w, SSL_want_write(w->ssl) ? EPOLLIN | EPOLLOUT
							: EPOLLIN);
			return;
		}
		w->shaking = false;
	}
	send_out(w);
	take_in(w);
}

static size_t literal(const char *line, size_t len)
{
	size_t at = len;

	if (len < 3 || line[len - 1] != '}')
		return 0;
	while (at > 0 && line[at - 1] != '{')
		at--;
	return at > 0 ? strtoul(line + at, NULL, 10) : 0;
}

char *wire_line(struct wire *w, bool literals)
{
	struct wire_bytes *b = &w->in;

	for (;;) {
		size_t have = b->n - b->at;
		size_t gone = w->skip < have ? w->skip : have;

		b->at += gone;
		w->skip -= gone;
		have -= gone;
		if (have == 0)
			return NULL;
		char *line = b->ptr + b->at;
		char *end = memchr(line, '\n', have);
		if (end == NULL)
			return NULL;
		b->at += (size_t)(end - line) + 1;
		if (end > line && end[-1] == '\r')
			end--;
		*end = '\0';
		if (literals)
			w->skip = literal(line, (size_t)(end - line));
		return line;
	}
}
