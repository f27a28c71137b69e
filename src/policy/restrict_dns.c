/* SPDX-License-Identifier: ISC */
/*
 * Restrictions that ask the DNS who stands behind a name:
 * check_{client,reverse_client_hostname,helo,sender,recipient}_{a,mx,ns}_access
 * look the hosts and their addresses up in an access(5) table.
 */
#include <string.h>

#include "codec/smtp/path.h"
#include "policy/restrict_private.h"
#include "sys/sock.h"

enum { HOSTS_MAX = 20, PARENTS_MAX = 10 };

enum server_kind { SERVER_A, SERVER_MX, SERVER_NS };

/* ---- whose servers ---- */

static struct str host_or_none(struct str name)
{
	bool none = !str_present(name) || str_ieqc(name, "unknown") ||
		    str_starts(name, "[");

	return none ? STR("") : name;
}

/* The fact that check_WHO_... is about, and its subject for the reply. */
static struct str name_of(
	const struct check *c, const char *rule, enum subject *subject_r)
{
	*subject_r = SUBJECT_CLIENT;
	if (str_starts(str_from(rule), "check_client"))
		return host_or_none(c->client_name);
	if (str_starts(str_from(rule), "check_reverse"))
		return host_or_none(c->reverse_name);
	if (str_starts(str_from(rule), "check_helo")) {
		*subject_r = SUBJECT_HELO;
		return host_or_none(c->helo);
	}
	if (str_starts(str_from(rule), "check_sender")) {
		*subject_r = SUBJECT_SENDER;
		return smtp_address_domain(c->sender);
	}
	*subject_r = SUBJECT_RECIPIENT;
	return smtp_address_domain(c->recipient);
}

/* ---- which servers ---- */

static void mx_hosts(struct check *c, struct str domain, struct strs *hosts)
{
	struct resolver_mx *list;
	struct fault f;
	size_t n;

	if (resolver_mx(c->policy->resolver, domain, c->a, &list, &n, &f) !=
		DNS_OK) {
		strs_add(hosts, c->a, domain);
		return;
	}
	for (size_t i = 0; i < n && hosts->n < HOSTS_MAX; i++)
		strs_add(hosts, c->a, list[i].host);
}

/* The name servers of the zone that the name lies in. */
static void ns_hosts(struct check *c, struct str domain, struct strs *hosts)
{
	struct fault f;

	for (int i = 0; i < PARENTS_MAX && domain.len > 0; i++) {
		ptrdiff_t dot = str_find(domain, '.');

		if (resolver_ns(c->policy->resolver, domain, c->a, hosts, &f) ==
				DNS_OK ||
			dot < 0)
			return;
		domain = str_from_at(domain, (size_t)dot + 1);
	}
}

/* ---- looking them up ---- */

static enum table_result ask_host(struct check *c, struct maps *maps,
	struct str host, struct str *value_r, struct fault *f)
{
	struct resolver_addrs addrs = {0};
	struct str name = host;
	enum table_result r = maps_lookup(maps, host, c->a, value_r, f);

	while (r == TABLE_NONE && str_present(name)) {
		str_cut(&name, '.');
		if (str_present(name))
			r = maps_lookup(maps, name, c->a, value_r, f);
	}
	if (r != TABLE_NONE ||
		resolver_host(c->policy->resolver, host,
			RESOLVER_V4 | RESOLVER_V6, c->a, &addrs, f) != DNS_OK)
		return r;
	for (size_t i = 0; i < addrs.n && r == TABLE_NONE; i++) {
		struct sock_addr addr;

		sock_addr_make(addrs.v[i].bytes, addrs.v[i].len, 0, &addr);
		r = maps_lookup(
			maps, sock_addr_text(&addr, c->a), c->a, value_r, f);
	}
	return r;
}

enum outcome restrict_server_access(
	struct check *c, const struct rule *rule, struct decision *d)
{
	const char *name = rule->def->name;
	enum server_kind kind = strstr(name, "_mx_") != NULL   ? SERVER_MX
				: strstr(name, "_ns_") != NULL ? SERVER_NS
							       : SERVER_A;
	enum subject subject;
	struct str domain = name_of(c, name, &subject), value;
	struct strs hosts = {0};
	struct fault f;

	if (domain.len == 0 || c->policy->resolver == NULL)
		return OUT_DUNNO;
	if (kind == SERVER_A)
		strs_add(&hosts, c->a, domain);
	else if (kind == SERVER_MX)
		mx_hosts(c, domain, &hosts);
	else
		ns_hosts(c, domain, &hosts);
	for (size_t i = 0; i < hosts.n; i++) {
		enum table_result r =
			ask_host(c, rule->maps, hosts.v[i], &value, &f);

		if (r == TABLE_ERROR)
			return restrict_temp(c, d, &f);
		if (r == TABLE_NONE)
			continue;
		enum outcome out = restrict_action(c, value, subject, d);
		/* A stranger chooses his servers: they let nobody in. */
		if (out == OUT_REJECT)
			return out;
	}
	return OUT_DUNNO;
}

/* ---- lists of the good ---- */

static enum outcome permit_listed(
	struct check *c, const struct rule *rule, struct str query)
{
	struct str name;

	/* Never a licence to relay. */
	if (str_present(c->recipient) && !restrict_is_auth_destination(c))
		return OUT_DUNNO;
	return dnsbl_listed(c->policy, rule->arg, query, c->a, &name)
		       ? OUT_PERMIT
		       : OUT_DUNNO;
}

enum outcome restrict_dnswl_client(
	struct check *c, const struct rule *rule, struct decision *d UNUSED)
{
	if (c->client_addr_len == 0)
		return OUT_DUNNO;
	return permit_listed(c, rule,
		dnsbl_address(c->client_addr, c->client_addr_len, c->a));
}

enum outcome restrict_rhswl_client(
	struct check *c, const struct rule *rule, struct decision *d UNUSED)
{
	return permit_listed(c, rule, host_or_none(c->client_name));
}
