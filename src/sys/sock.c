/* SPDX-License-Identifier: ISC */
#include "sys/sock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "sys/waiting.h"

/*
 * The three address structs share their beginning; the casts below stand in
 * one place each.
 */
static struct sockaddr *generic(const struct sock_addr *addr)
{
	union {
		const struct sockaddr_storage *ss;
		struct sockaddr *sa;
	} u = {.ss = &addr->ss};

	return u.sa;
}

static struct sockaddr_in get4(const struct sock_addr *addr)
{
	struct sockaddr_in in;

	memcpy(&in, &addr->ss, sizeof(in));
	return in;
}

static struct sockaddr_in6 get6(const struct sock_addr *addr)
{
	struct sockaddr_in6 in;

	memcpy(&in, &addr->ss, sizeof(in));
	return in;
}

static void no_delay(int fd)
{
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

void sock_quick_ack(int fd)
{
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof(one));
}

int sock_listen(const struct sock_addr *addr, int backlog, struct fault *f)
{
	int one = 1;
	int fd = socket(addr->ss.ss_family,
		SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0) {
		fault_sys(f, "socket");
		return -1;
	}
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	/* Those that are accepted have it from here. */
	no_delay(fd);
	if (addr->ss.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (bind(fd, generic(addr), addr->len) != 0 ||
		listen(fd, backlog) != 0) {
		fault_sys(f, "bind");
		close(fd);
		return -1;
	}
	return fd;
}

static bool wait_connected(int fd, int64_t timeout_ms, struct fault *f)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	int error = 0;
	socklen_t len = sizeof(error);

	int n = waiting_poll(&p, 1, (int)timeout_ms);
	if (n == 0)
		return fault_set(
			f, FAULT_TEMP, 421, 4, 1, "connection timed out");
	if (n < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
		return fault_sys(f, "connect");
	if (error != 0) {
		errno = error;
		return fault_sys(f, "connect");
	}
	return true;
}

int sock_connect(const struct sock_addr *addr, const struct sock_addr *bind_to,
	int64_t timeout_ms, struct fault *f)
{
	int fd = socket(addr->ss.ss_family,
		SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0) {
		fault_sys(f, "socket");
		return -1;
	}
	no_delay(fd);
	bool ok = true;
	if (bind_to != NULL && bind(fd, generic(bind_to), bind_to->len) != 0)
		ok = fault_sys(f, "bind to the source address");
	if (ok && connect(fd, generic(addr), addr->len) != 0)
		ok = errno == EINPROGRESS ? wait_connected(fd, timeout_ms, f)
					  : fault_sys(f, "connect");
	if (!ok) {
		close(fd);
		return -1;
	}
	return fd;
}

static bool unix_addr(const char *path, struct sockaddr_un *un, struct fault *f)
{
	*un = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(un->sun_path))
		return fault_set(f, FAULT_TEMP, 451, 3, 5,
			"socket path longer than %zu bytes: %s",
			sizeof(un->sun_path) - 1, path);
	memcpy(un->sun_path, path, strlen(path) + 1);
	return true;
}

int sock_unix_listen(const char *path, mode_t mode, struct fault *f)
{
	struct sockaddr_un un;

	if (!unix_addr(path, &un, f))
		return -1;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		fault_sys(f, "socket");
		return -1;
	}
	unlink(path);
	if (bind(fd, (struct sockaddr *)&un, sizeof(un)) != 0 ||
		chmod(path, mode) != 0 || listen(fd, 512) != 0) {
		fault_sys(f, "listen on %s", path);
		close(fd);
		return -1;
	}
	return fd;
}

int sock_unix_connect(const char *path, struct fault *f)
{
	struct sockaddr_un un;

	if (!unix_addr(path, &un, f))
		return -1;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		fault_sys(f, "socket");
		return -1;
	}
	if (connect(fd, (struct sockaddr *)&un, sizeof(un)) != 0) {
		fault_sys(f, "connect to %s", path);
		close(fd);
		return -1;
	}
	return fd;
}

bool sock_addr_unix(struct str path, struct sock_addr *addr_r)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	if (path.len == 0 || path.len >= sizeof(un.sun_path))
		return false;
	memcpy(un.sun_path, path.ptr, path.len);
	*addr_r = (struct sock_addr){.len = sizeof(un)};
	memcpy(&addr_r->ss, &un, sizeof(un));
	return true;
}

const char *sock_addr_path(const struct sock_addr *addr)
{
	const union {
		const struct sockaddr_storage *ss;
		const struct sockaddr_un *un;
	} u = {.ss = &addr->ss};

	return addr->ss.ss_family == AF_UNIX ? u.un->sun_path : NULL;
}

bool sock_addr_parse(struct str host, unsigned port, struct sock_addr *addr_r)
{
	struct sock_addr addr = {0};
	struct sockaddr_in in4 = {.sin_family = AF_INET};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
	char text[INET6_ADDRSTRLEN];

	if (host.len >= 2 && host.ptr[0] == '[')
		host = str_sub(host, 1, host.len - 2);
	if (host.len == 0 || host.len >= sizeof(text) || port > 65535)
		return false;
	memcpy(text, host.ptr, host.len);
	text[host.len] = '\0';
	in4.sin_port = in6.sin6_port = htons((uint16_t)port);
	if (inet_pton(AF_INET, text, &in4.sin_addr) == 1) {
		memcpy(&addr.ss, &in4, sizeof(in4));
		addr.len = sizeof(in4);
	} else if (inet_pton(AF_INET6, text, &in6.sin6_addr) == 1) {
		memcpy(&addr.ss, &in6, sizeof(in6));
		addr.len = sizeof(in6);
	} else {
		return false;
	}
	*addr_r = addr;
	return true;
}

void sock_addr_bytes(
	const struct sock_addr *addr, unsigned char bytes[16], size_t *len_r)
{
	memset(bytes, 0, 16);
	*len_r = 0;
	if (addr->ss.ss_family == AF_INET) {
		struct sockaddr_in in = get4(addr);

		memcpy(bytes, &in.sin_addr, 4);
		*len_r = 4;
	} else if (addr->ss.ss_family == AF_INET6) {
		struct sockaddr_in6 in = get6(addr);
		bool mapped = IN6_IS_ADDR_V4MAPPED(&in.sin6_addr);

		memcpy(bytes, in.sin6_addr.s6_addr + (mapped ? 12 : 0),
			mapped ? 4 : 16);
		*len_r = mapped ? 4 : 16;
	}
}

void sock_addr_make(const unsigned char *bytes, size_t len, unsigned port,
	struct sock_addr *addr_r)
{
	struct sockaddr_in in = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	struct sockaddr_in6 in6 = {
		.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};

	*addr_r = (struct sock_addr){0};
	if (len == 4) {
		memcpy(&in.sin_addr, bytes, 4);
		memcpy(&addr_r->ss, &in, sizeof(in));
		addr_r->len = sizeof(in);
	} else {
		memcpy(&in6.sin6_addr, bytes, 16);
		memcpy(&addr_r->ss, &in6, sizeof(in6));
		addr_r->len = sizeof(in6);
	}
}

struct str sock_addr_text(const struct sock_addr *addr, struct arena *a)
{
	unsigned char bytes[16];
	char text[INET6_ADDRSTRLEN];
	size_t len;

	sock_addr_bytes(addr, bytes, &len);
	if (len == 0)
		return STR("unix");
	inet_ntop(len == 4 ? AF_INET : AF_INET6, bytes, text, sizeof(text));
	return arena_str(a, str_from(text));
}

unsigned sock_addr_port(const struct sock_addr *addr)
{
	if (addr->ss.ss_family == AF_INET)
		return ntohs(get4(addr).sin_port);
	if (addr->ss.ss_family == AF_INET6)
		return ntohs(get6(addr).sin6_port);
	return 0;
}

bool sock_peer(int fd, struct sock_addr *addr_r)
{
	addr_r->len = sizeof(addr_r->ss);
	return getpeername(fd, generic(addr_r), &addr_r->len) == 0;
}

bool sock_self(int fd, struct sock_addr *addr_r)
{
	addr_r->len = sizeof(addr_r->ss);
	return getsockname(fd, generic(addr_r), &addr_r->len) == 0;
}
