/* SPDX-License-Identifier: ISC */
/* From a next hop to addresses: RFC 5321 5.1 */
#include <stdlib.h>
#include <string.h>

#include "codec/postfix/lines.h"
#include "codec/postfix/value.h"
#include "conf/service_addrs.h"
#include "role/sender/sender.h"
#include "sys/clock.h"

enum { HOSTS_MAX = 64, EXCHANGERS_MAX = 512 };

/* "[host]:port", "host:port"; *mx_r: the host is a domain to look up */
static bool split_nexthop(
	struct site *site, struct str spec, bool *mx_r, struct fault *f)
{
	struct str port = site->c->smtp_tcp_port;
	ptrdiff_t colon = str_rfind(spec, ':');
	ptrdiff_t close = str_rfind(spec, ']');

	*mx_r = !str_starts(spec, "[") && !site->lmtp;
	if (colon > close) {
		port = str_from_at(spec, (size_t)colon + 1);
		spec = str_sub(spec, 0, (size_t)colon);
	}
	if (str_starts(spec, "[") && str_ends(spec, "]"))
		spec = str_sub(spec, 1, spec.len - 2);
	site->host = spec;
	site->service = port;
	site->port = service_port(port);
	if (spec.len == 0 || site->port == 0)
		return fault_set(f, FAULT_TEMP, 451, 3, 5,
			"bad next hop \"%.*s\"", STR_ARG(site->nexthop));
	return true;
}

static unsigned families(const struct conf *c)
{
	bool all = conf_option_has(c->inet_protocols, "all");

	return (all || conf_option_has(c->inet_protocols, "ipv4") ? RESOLVER_V4
								  : 0u) |
	       (all || conf_option_has(c->inet_protocols, "ipv6") ? RESOLVER_V6
								  : 0u);
}

static void add_addr(struct site *site, struct str name,
	const struct resolver_addr *addr, const struct resolver_addrs *from)
{
	struct site_host *h = &site->hosts[site->n_hosts];
	struct buf b CLEANUP(buf_fini);

	buf_init(&b, 128);
	for (size_t i = 0; i < addr->len; i++)
		buf_putf(&b, addr->len == 4 ? "%s%u" : "%s%02x",
			i == 0           ? ""
			: addr->len == 4 ? "."
			: i % 2 == 0     ? ":"
					 : "",
			addr->bytes[i]);
	if (site->n_hosts >= HOSTS_MAX ||
		!sock_addr_parse(buf_str(&b), site->port, &h->addr))
		return;
	h->name = site->c->smtp_cname_overrides_servername &&
				  str_present(from->canonical)
			  ? from->canonical
			  : name;
	h->secure = !from->insecure;
	h->canonical = from->canonical;
	site->n_hosts++;
}

/* RFC 5321 5.1: a mail exchanger that is us, and all behind it, is no way. */
static bool is_self(struct sender *s, const struct site *site,
	const struct resolver_addr *addr)
{
	bool same_port = site->port == service_port(site->c->smtp_tcp_port);

	for (size_t i = 0; i < s->role->services->n; i++) {
		const struct service *sv = &s->role->services->v[i];

		if (sv->kind != SERVICE_SMTPD || !same_port)
			continue;
		for (size_t j = 0; j < sv->n_addrs; j++) {
			unsigned char mine[16];
			size_t len;

			sock_addr_bytes(&sv->addrs[j], mine, &len);
			bool any =
				len == addr->len &&
				memcmp(mine, (unsigned char[16]){0}, len) == 0;
			if (sock_addr_port(&sv->addrs[j]) == site->port &&
				((len == addr->len &&
					 memcmp(mine, addr->bytes, len) == 0) ||
					(any && conf_is_own_address(
							s->role->conf,
							addr->bytes,
							addr->len))))
				return true;
		}
	}
	return false;
}

/* Addresses of one host, the preferred family first; true: it is us */
static bool add_host(struct sender *s, struct site *site, struct str name,
	struct arena *a, bool *temp_r, struct fault *f)
{
	struct resolver_addrs addrs = {0};
	struct str pref = site->c->smtp_address_preference;
	enum dns_result r = site->resolver == NULL
				    ? DNS_NONE
				    : resolver_host(site->resolver, name,
					      families(site->c), a, &addrs, f);

	if (site->resolver == NULL) {
		struct resolver_addr one;

		if (address_parse(name, one.bytes, &one.len)) {
			addrs.v = &one;
			addrs.n = 1;
			addrs.insecure = true;
			add_addr(site, name, &one, &addrs);
		}
		return false;
	}
	*temp_r |= r == DNS_TEMP;
	for (size_t i = 0; i < addrs.n; i++)
		if (is_self(s, site, &addrs.v[i]))
			return true;
	for (int round = 0; round < 2; round++)
		for (size_t i = 0; i < addrs.n; i++) {
			bool six = addrs.v[i].len == 16;
			bool first = str_ieqc(pref, "ipv4") ? !six : six;

			if (first == (round == 0))
				add_addr(site, name, &addrs.v[i], &addrs);
		}
	return false;
}

static void shuffle(struct resolver_mx *mx, size_t n)
{
	/* RFC 5321 5.1: equal preference in random order */
	for (size_t i = 0, end; i < n; i = end) {
		for (end = i + 1;
			end < n && mx[end].preference == mx[i].preference;)
			end++;
		for (size_t k = end - 1; k > i; k--) {
			size_t j = i + random_u64() % (k - i + 1);
			struct resolver_mx t = mx[k];

			mx[k] = mx[j];
			mx[j] = t;
		}
	}
}

static bool nothing_found(
	const struct site *site, bool temp, bool self, struct fault *f)
{
	if (self)
		return fault_set(f, FAULT_PERM, 554, 4, 6,
			"mail for %.*s loops back to myself",
			STR_ARG(site->host));
	if (temp)
		return fault_set(f, FAULT_TEMP, 451, 4, 3,
			"DNS look-up of %.*s failed for now",
			STR_ARG(site->host));
	return fault_set(f, FAULT_PERM, 550, 4, 4,
		"%.*s: host or domain name not found", STR_ARG(site->host));
}

static int by_name(const void *x, const void *y)
{
	const struct resolver_mx *a = x, *b = y;

	return str_cmp(a->host, b->host);
}

/* What all domains of one provider have in common. */
static struct str exchangers_of(
	const struct resolver_mx *mx, size_t n, struct arena *a)
{
	struct resolver_mx *sorted = arena_alloc(a, n * sizeof(*sorted));
	struct buf b CLEANUP(buf_fini);

	memcpy(sorted, mx, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), by_name);
	buf_init(&b, 65536);
	for (size_t i = 0; i < n && b.len < EXCHANGERS_MAX; i++)
		buf_putf(&b, "%s%.*s", i > 0 ? "," : "",
			STR_ARG(sorted[i].host));
	return arena_lower(a, buf_str(&b));
}

static bool by_mx(
	struct sender *s, struct site *site, struct arena *a, struct fault *f)
{
	struct resolver_mx *mx = NULL;
	size_t n = 0;
	bool temp = false;

	if (site->resolver == NULL ||
		str_eqc(site->c->smtp_dns_support_level, "disabled"))
		return add_host(s, site, site->host, a, &temp, f) ||
		       site->n_hosts > 0 ||
		       nothing_found(site, false, false, f);
	enum dns_result r =
		resolver_mx(site->resolver, site->host, a, &mx, &n, f);
	if (r == DNS_TEMP && !site->c->ignore_mx_lookup_error)
		return false;
	if (r == DNS_NXDOMAIN)
		return fault_set(f, FAULT_PERM, 550, 1, 2,
			"%.*s: domain not found", STR_ARG(site->host));
	if (n == 1 && str_eqc(mx[0].host, "."))
		return fault_set(f, FAULT_PERM, 556, 1, 10,
			"%.*s does not accept mail (null MX)",
			STR_ARG(site->host));
	site->name_secure = n > 0;
	for (size_t i = 0; i < n; i++)
		site->name_secure &= mx[i].secure;
	if (n == 0) {
		bool self = add_host(s, site, site->host, a, &temp, f);

		return site->n_hosts > 0 || nothing_found(site, temp, self, f);
	}
	site->exchangers = exchangers_of(mx, n, a);
	if (site->c->smtp_randomize_addresses)
		shuffle(mx, n);
	bool self = false;
	unsigned limit = UINT32_MAX;
	for (size_t i = 0; i < n && mx[i].preference <= limit; i++) {
		size_t before = site->n_hosts;

		if (!add_host(s, site, mx[i].host, a, &temp, f))
			continue;
		/* Ours: only what is preferred to it remains. */
		self = true;
		limit = mx[i].preference - 1;
		site->n_hosts = before;
		if (mx[i].preference == 0)
			break;
	}
	bool later = temp || site->c->smtp_defer_if_no_mx_address_found;
	return site->n_hosts > 0 || nothing_found(site, later, self, f);
}

/* ---- SRV ---- */

/* postconf(5) use_srv_lookup: by the name of the service. */
static bool wants_srv(const struct site *site)
{
	struct str services = site->c->use_srv_lookup, name;

	while (str_present(name = list_item(&services)))
		if (str_ieq(name, site->service))
			return site->resolver != NULL;
	return false;
}

static struct str srv_names(
	const struct resolver_srv *v, size_t n, struct arena *a)
{
	struct resolver_mx *hosts = arena_alloc(a, n * sizeof(*hosts));

	for (size_t i = 0; i < n; i++)
		hosts[i].host = v[i].srv.host;
	return exchangers_of(hosts, n, a);
}

static bool srv_hosts(struct sender *s, struct site *site,
	const struct resolver_srv *v, size_t n, struct arena *a,
	struct fault *f)
{
	unsigned port = site->port;
	bool temp = false;

	if (n == 1 && str_eqc(v[0].srv.host, "."))
		return fault_set(f, FAULT_PERM, 556, 4, 4,
			"%.*s: the service %.*s is not there",
			STR_ARG(site->host), STR_ARG(site->service));
	site->name_secure = true;
	for (size_t i = 0; i < n; i++) {
		site->name_secure &= v[i].secure;
		site->port = v[i].srv.port;
		/* RFC 5321 5.1 knows no loop here: who is us is left out. */
		add_host(s, site, v[i].srv.host, a, &temp, f);
	}
	site->port = port;
	site->exchangers = srv_names(v, n, a);
	return site->n_hosts > 0 || nothing_found(site, temp, false, f);
}

/* RFC 2782; *mx_r: the MX records count instead. */
static bool by_srv(struct sender *s, struct site *site, struct arena *a,
	bool *mx_r, struct fault *f)
{
	const struct conf *c = site->c;
	struct str name = arena_printf(a, "_%.*s._tcp.%.*s",
		STR_ARG(arena_lower(a, site->service)), STR_ARG(site->host));
	struct resolver_srv *v = NULL;
	size_t n = 0;
	enum dns_result r = resolver_srv(site->resolver, name, a, &v, &n, f);

	*mx_r = r == DNS_TEMP ? c->ignore_srv_lookup_error
		: r != DNS_OK ? c->allow_srv_lookup_fallback
			      : false;
	if (*mx_r || r == DNS_TEMP)
		return false;
	if (r != DNS_OK)
		return fault_set(f, FAULT_PERM, 550, 4, 4,
			"%.*s: no SRV record", STR_ARG(name));
	return srv_hosts(s, site, v, n, a, f);
}

static bool is_relayhost(const struct conf *c, struct str nexthop)
{
	struct str hosts = c->relayhost, host;

	while (str_present(host = list_item(&hosts)))
		if (str_ieq(host, nexthop))
			return true;
	return false;
}

bool sender_find_hosts(struct sender *s, const struct conf *c,
	struct resolver *resolver, bool lmtp, struct str nexthop,
	struct arena *a, struct site *site_r, struct fault *f)
{
	struct site site = {.c = c,
		.resolver = resolver,
		.nexthop = nexthop,
		.hosts = arena_alloc(a, HOSTS_MAX * sizeof(*site.hosts))};
	struct str spec = nexthop;
	bool mx, temp = false;

	site.lmtp = lmtp;
	if (site.lmtp && str_starts(spec, "unix:")) {
		site.unix_path = str_from_at(spec, 5);
		*site_r = site;
		return true;
	}
	if (site.lmtp && str_starts(spec, "inet:"))
		spec = str_from_at(spec, 5);
	if (!split_nexthop(&site, spec, &mx, f))
		return false;
	site.host = sender_search(c, resolver, site.host, a);
	site.name_secure = !mx;
	bool ok = false, by_host = !mx;
	if (mx && wants_srv(&site))
		ok = by_srv(s, &site, a, &mx, f);
	if (mx && !ok)
		ok = by_mx(s, &site, a, f);
	if (by_host)
		ok = !add_host(s, &site, site.host, a, &temp, f) &&
		     site.n_hosts > 0;
	if (!ok && by_host)
		nothing_found(&site, temp, false, f);
	/* A relayhost that cannot be found is our mistake, not the mail's. */
	if (!ok && is_relayhost(s->role->conf, nexthop))
		f->class = FAULT_TEMP;
	*site_r = site;
	return ok;
}
