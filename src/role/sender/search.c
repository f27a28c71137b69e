/* SPDX-License-Identifier: ISC */
/*
 * postconf(5) smtp_dns_resolver_options.  res_defnames: a host without a dot is
 * one of $mydomain.  res_dnsrch: one that is not found is looked for in
 * $mydomain and the domains above it.
 */
#include "role/sender/sender.h"

static bool exists(struct resolver *r, struct str name, struct arena *a)
{
	struct resolver_addrs addrs = {0};
	struct resolver_mx *mx;
	size_t n = 0;
	struct fault f;

	/* What cannot be known now is not passed over. */
	enum dns_result one = resolver_mx(r, name, a, &mx, &n, &f);
	if ((one == DNS_OK && n > 0) || one == DNS_TEMP)
		return true;
	one = resolver_host(r, name, RESOLVER_V4 | RESOLVER_V6, a, &addrs, &f);
	return one == DNS_OK || one == DNS_TEMP;
}

static bool searchable(struct str name)
{
	return name.len > 0 && name.ptr[0] != '[' && !str_ends(name, ".") &&
	       !str_ieqc(name, "localhost") && str_find(name, ':') < 0;
}

struct str sender_search(const struct conf *c, struct resolver *r,
	struct str name, struct arena *a)
{
	bool all = conf_option_has(c->smtp_dns_resolver_options, "res_dnsrch");
	bool plain = str_find(name, '.') < 0;
	struct str domain = c->mydomain;
	bool own = plain && conf_option_has(c->smtp_dns_resolver_options,
				    "res_defnames");

	if (r == NULL || !searchable(name) || (!all && !own))
		return name;
	if (!plain && exists(r, name, a))
		return name;
	while (str_present(domain)) {
		struct str longer = arena_printf(
			a, "%.*s.%.*s", STR_ARG(name), STR_ARG(domain));

		if (!all || exists(r, longer, a))
			return longer;
		str_cut(&domain, '.');
		/* Nobody's host is looked for at the top. */
		if (!str_present(domain) || str_find(domain, '.') < 0)
			break;
	}
	return name;
}
