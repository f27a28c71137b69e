/* SPDX-License-Identifier: ISC */
#include "net/endpoint.h"

#include <fcntl.h>
#include <netdb.h>
#include <string.h>

static bool resolve(struct str host, struct str port, struct arena *a,
	struct endpoint *e, struct fault *f)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;

	if (host.len > 1 && host.ptr[0] == '[' && str_ends(host, "]"))
		host = str_sub(host, 1, host.len - 2);
	int error = getaddrinfo(
		arena_cstr(a, host), arena_cstr(a, port), &hints, &list);
	if (error != 0)
		return fault_set(f, FAULT_TEMP, 451, 3, 5, "%.*s: %s",
			STR_ARG(host), gai_strerror(error));
	for (struct addrinfo *i = list;
		i != NULL && e->n_addr < ENDPOINT_ADDRS_MAX; i = i->ai_next) {
		struct sock_addr *to = &e->addr[e->n_addr++];

		memcpy(&to->ss, i->ai_addr, i->ai_addrlen);
		to->len = i->ai_addrlen;
	}
	freeaddrinfo(list);
	return true;
}

bool endpoint_parse(struct str text, struct str base, struct arena *a,
	struct endpoint *e_r, struct fault *f)
{
	struct endpoint e = {.text = arena_str(a, text)};
	struct str rest = text;

	if (str_starts(text, "unix:")) {
		rest = str_from_at(text, 5);
		e.path = rest.len > 0 && rest.ptr[0] == '/'
				 ? arena_str(a, rest)
				 : arena_printf(a, "%.*s/%.*s", STR_ARG(base),
					   STR_ARG(rest));
		*e_r = e;
		return rest.len > 0 ||
		       fault_set(f, FAULT_TEMP, 451, 3, 5, "no path");
	}
	if (str_starts(text, "inet:"))
		rest = str_from_at(text, 5);
	ptrdiff_t colon = str_rfind(rest, ':');
	if (colon < 0 || (size_t)colon + 1 == rest.len)
		return fault_set(f, FAULT_TEMP, 451, 3, 5,
			"%.*s: write inet:host:port or unix:path",
			STR_ARG(text));
	struct str host = str_sub(rest, 0, (size_t)colon);
	if (!resolve(host.len > 0 ? host : STR("localhost"),
		    str_from_at(rest, (size_t)colon + 1), a, &e, f))
		return false;
	*e_r = e;
	return true;
}

int endpoint_open(const struct endpoint *e, int64_t timeout_ms, struct fault *f)
{
	int fd = -1;

	if (str_present(e->path)) {
		fd = sock_unix_connect(e->path.ptr, f);
		if (fd >= 0)
			fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	}
	for (size_t i = 0; i < e->n_addr && fd < 0; i++)
		fd = sock_connect(&e->addr[i], NULL, timeout_ms, f);
	return fd;
}

struct stream *endpoint_connect(const struct endpoint *e, size_t in_max_bytes,
	int64_t timeout_ms, struct fault *f)
{
	int fd = endpoint_open(e, timeout_ms, f);

	return fd >= 0 ? stream_new(fd, in_max_bytes) : NULL;
}
