/* SPDX-License-Identifier: ISC */
#ifndef TESTS_BENCH_WIRE_H
#define TESTS_BENCH_WIRE_H

/*
 * wire: a client's connection for load generators, that never waits: bytes,
 * lines, TLS without a look at the certificate.  What goes wrong ends the
 * program.  One thread.
 */

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

struct ssl_st;
struct wire_bytes {
	char *ptr;
	size_t n, at, cap;
};
struct wire {
	int fd, epoll;
	void *owner; /* epoll's data.ptr is the wire */
	struct ssl_st *ssl;
	bool shaking; /* the handshake is under way */
	unsigned watched;
	struct wire_bytes in, out;
	size_t skip; /* of a literal */
};

double wire_now(void); /* seconds */
void wire_die(const char *format, ...)
	__attribute__((format(printf, 1, 2), noreturn));
/* "127.0.0.1", "993s": s means TLS from the first byte. */
struct sockaddr_in wire_address(
	const char *host, const char *port, bool *tls_r);

void wire_open(
	struct wire *w, int epoll, const struct sockaddr_in *to, bool tls);
void wire_close(struct wire *w);
void wire_say(struct wire *w, const char *text, size_t len);
/* epoll said something: moves what there is to move. */
void wire_move(struct wire *w);
/* The next line that is all here, without CRLF; NULL: wait.  Good until the
 * next call.  The octets of IMAP literals are passed over where literals. */
char *wire_line(struct wire *w, bool literals);

#endif
