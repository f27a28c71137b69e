/* SPDX-License-Identifier: ISC */
#include "conf/service_addrs.h"

#include <netdb.h>
#include <netinet/in.h>
#include <string.h>

#include "codec/postfix/lines.h"

enum { ADDRS_MAX = 64 };

unsigned service_port(struct str name)
{
	static const struct {
		const char *name;
		unsigned port;
	} known[] = {{"smtp", 25}, {"smtps", 465}, {"submissions", 465},
		{"submission", 587}, {"lmtp", 24}, {"imap", 143},
		{"imap2", 143}, {"imaps", 993}, {"pop3", 110}, {"pop-3", 110},
		{"pop3s", 995}, {"sieve", 4190}};
	uint64_t n;

	if (str_u64(name, &n))
		return n > 0 && n < 65536 ? (unsigned)n : 0;
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (str_eqc(name, known[i].name))
			return known[i].port;
	return 0;
}

struct addrs {
	struct sock_addr *v;
	size_t n;
};

static void add_addr(struct addrs *list, struct str host, unsigned port)
{
	struct sock_addr addr;

	if (list->n < ADDRS_MAX && sock_addr_parse(host, port, &addr))
		list->v[list->n++] = addr;
}

static void add_host(struct addrs *list, const struct conf *c,
	const char *wild4, const char *wild6, unsigned port)
{
	bool all = conf_option_has(c->inet_protocols, "all");

	if (all || conf_option_has(c->inet_protocols, "ipv4"))
		add_addr(list, str_from(wild4), port);
	if (all || conf_option_has(c->inet_protocols, "ipv6"))
		add_addr(list, str_from(wild6), port);
}

static void resolve_host(struct addrs *list, const struct conf *c,
	struct str host, unsigned port)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;

	if (list->n >= ADDRS_MAX ||
		getaddrinfo(arena_cstr(c->a, host), NULL, &hints, &found) != 0)
		return;
	for (struct addrinfo *i = found; i != NULL && list->n < ADDRS_MAX;
		i = i->ai_next) {
		struct sock_addr addr = {.len = i->ai_addrlen};
		struct sockaddr_in in4;
		struct sockaddr_in6 in6;

		if (i->ai_family == AF_INET) {
			memcpy(&in4, i->ai_addr, sizeof(in4));
			in4.sin_port = htons((uint16_t)port);
			memcpy(&addr.ss, &in4, sizeof(in4));
		} else if (i->ai_family == AF_INET6) {
			memcpy(&in6, i->ai_addr, sizeof(in6));
			in6.sin6_port = htons((uint16_t)port);
			memcpy(&addr.ss, &in6, sizeof(in6));
		} else {
			continue;
		}
		list->v[list->n++] = addr;
	}
	freeaddrinfo(found);
}

static void interface_addrs(
	struct addrs *list, const struct conf *c, unsigned port)
{
	struct str rest = c->inet_interfaces;
	struct str item;

	while (str_present(item = list_item(&rest))) {
		struct sock_addr probe;

		if (str_eqc(item, "all"))
			add_host(list, c, "0.0.0.0", "::", port);
		else if (str_eqc(item, "loopback-only"))
			add_host(list, c, "127.0.0.1", "::1", port);
		else if (sock_addr_parse(item, port, &probe))
			add_addr(list, item, port);
		else
			resolve_host(list, c, item, port);
	}
}

bool service_addrs(const struct conf *c, const struct master_entry *e,
	struct str file, struct sock_addr **v_r, size_t *n_r,
	struct problems *problems)
{
	struct arena *a = c->a;
	struct str host = STR_NONE, port = e->m.service;
	ptrdiff_t colon = str_rfind(port, ':');
	struct addrs addrs = {
		.v = arena_alloc(a, ADDRS_MAX * sizeof(struct sock_addr))};

	if (colon >= 0) {
		host = str_sub(port, 0, (size_t)colon);
		port = str_from_at(port, (size_t)colon + 1);
	}
	unsigned number = service_port(port);
	if (number == 0) {
		problem_add(problems, PROBLEM_ERROR, file, e->line,
			arena_printf(a, "%.*s: unknown service or port",
				STR_ARG(e->m.service)),
			STR("write smtp, submission, submissions, imap, imaps, "
			    "pop3, pop3s or a number"));
		return false;
	}
	if (host.len > 0) {
		add_addr(&addrs, host, number);
		if (addrs.n == 0)
			resolve_host(&addrs, c, host, number);
	} else {
		interface_addrs(&addrs, c, number);
	}
	*v_r = addrs.v;
	*n_r = addrs.n;
	if (addrs.n == 0)
		problem_add(problems, PROBLEM_ERROR, file, e->line,
			arena_printf(a, "%.*s: no address to listen on",
				STR_ARG(e->m.service)),
			STR("look at inet_interfaces and inet_protocols"));
	return true;
}
