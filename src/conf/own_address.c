/* SPDX-License-Identifier: ISC */
/* Which addresses are ours.  The kernel is asked once: a list of interfaces
 * costs a dozen system calls. */
#include <ifaddrs.h>
#include <netinet/in.h>
#include <string.h>

#include "codec/postfix/lines.h"
#include "codec/postfix/value.h"
#include "conf/conf.h"
#include "sys/sock.h"

enum { OWN_MAX = 1024 };

static void add(struct conf *c, const unsigned char *bytes, size_t len)
{
	if (c->n_own >= OWN_MAX)
		return;
	if (c->n_own % 16 == 0) {
		struct own_address *v =
			arena_alloc(c->a, (c->n_own + 16) * sizeof(*v));

		if (c->n_own > 0)
			memcpy(v, c->own, c->n_own * sizeof(*v));
		c->own = v;
	}
	struct own_address *own = &c->own[c->n_own++];
	memcpy(own->bytes, bytes, len);
	own->len = len;
}

static void add_interfaces(struct conf *c)
{
	struct ifaddrs *all = NULL;

	c->own_loopback = true;
	if (getifaddrs(&all) != 0)
		return;
	for (struct ifaddrs *i = all; i != NULL; i = i->ifa_next) {
		struct sock_addr sa = {0};
		unsigned char bytes[16];
		size_t n;

		if (i->ifa_addr == NULL)
			continue;
		if (i->ifa_addr->sa_family == AF_INET)
			memcpy(&sa.ss, i->ifa_addr, sizeof(struct sockaddr_in));
		else if (i->ifa_addr->sa_family == AF_INET6)
			memcpy(&sa.ss, i->ifa_addr,
				sizeof(struct sockaddr_in6));
		else
			continue;
		sock_addr_bytes(&sa, bytes, &n);
		add(c, bytes, n);
	}
	freeifaddrs(all);
}

void conf_find_own_addresses(struct conf *c)
{
	struct str lists[2] = {c->inet_interfaces, c->proxy_interfaces};
	bool wild = false;

	for (size_t i = 0; i < 2; i++) {
		struct str item;

		while (str_present(item = list_item(&lists[i]))) {
			unsigned char bytes[16];
			size_t n;

			wild |= str_eqc(item, "all");
			if (address_parse(item, bytes, &n))
				add(c, bytes, n);
		}
	}
	if (wild)
		add_interfaces(c);
}

bool conf_is_own_address(
	const struct conf *c, const unsigned char *addr, size_t len)
{
	for (size_t i = 0; i < c->n_own; i++)
		if (c->own[i].len == len &&
			memcmp(c->own[i].bytes, addr, len) == 0)
			return true;
	return c->own_loopback && len == 4 && addr[0] == 127;
}
