/* SPDX-License-Identifier: ISC */
#ifndef SYS_SOCK_H
#define SYS_SOCK_H

/*
 * sock: sockets with our rules: O_CLOEXEC, TCP_NODELAY, no SIGPIPE.
 */

#include <sys/socket.h>

#include "base/arena.h"
#include "base/fault.h"

struct sock_addr {
	struct sockaddr_storage ss;
	socklen_t len;
};

/* Numeric address, "" or "*" for all; returns -1 on failure. */
int sock_listen(const struct sock_addr *addr, int backlog, struct fault *f);
/* Connects within the time; bind_to NULL: the system chooses. -1 on failure */
int sock_connect(const struct sock_addr *addr, const struct sock_addr *bind_to,
	int64_t timeout_ms, struct fault *f);

/* Unix sockets: a stale file is replaced. */
int sock_unix_listen(const char *path, mode_t mode, struct fault *f);
int sock_unix_connect(const char *path, struct fault *f);

/* A Unix socket's path as an address; false: too long. */
bool sock_addr_unix(struct str path, struct sock_addr *addr_r);
/* The path of such an address; NULL for another. */
const char *sock_addr_path(const struct sock_addr *addr);
/* Text address (brackets allowed) and port. */
bool sock_addr_parse(struct str host, unsigned port, struct sock_addr *addr_r);
/* From bytes in network order, 4 or 16. */
void sock_addr_make(const unsigned char *bytes, size_t len, unsigned port,
	struct sock_addr *addr_r);
/* "127.0.0.1", "2001:db8::1"; ::ffff:a.b.c.d as IPv4; "unix" otherwise */
struct str sock_addr_text(const struct sock_addr *addr, struct arena *a);
unsigned sock_addr_port(const struct sock_addr *addr);
/* Bytes of the address, folded to IPv4 when mapped. */
void sock_addr_bytes(
	const struct sock_addr *addr, unsigned char bytes[16], size_t *len_r);
bool sock_peer(int fd, struct sock_addr *addr_r);
bool sock_self(int fd, struct sock_addr *addr_r);
/* Acknowledges what was read now, not with what is sent next. */
void sock_quick_ack(int fd);

#endif
