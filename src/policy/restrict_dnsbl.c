/* SPDX-License-Identifier: ISC */
/* Names and addresses that a DNS list knows: RFC 5782. */
#include "codec/dns/rdata.h"
#include "codec/smtp/path.h"
#include "policy/dnsbl_watch.h"
#include "policy/restrict_private.h"

/* "list.example=127.0.0.[2..11]": does one of the answers fit? */
static bool octet_fits(struct str filter, unsigned value)
{
	uint64_t n, low, high;
	struct str item;

	if (filter.len < 2 || filter.ptr[0] != '[')
		return str_u64(filter, &n) && n == value;
	filter = str_sub(filter, 1, filter.len - 2);
	while (str_present(filter)) {
		item = str_cut(&filter, ';');
		ptrdiff_t dots = str_isearch(item, STR(".."));

		if (dots < 0 ? str_u64(item, &n) && n == value
			     : str_u64(str_sub(item, 0, (size_t)dots), &low) &&
					str_u64(str_from_at(
							item, (size_t)dots + 2),
						&high) &&
					value >= low && value <= high)
			return true;
	}
	return false;
}

static bool reply_fits(struct str filter, const struct resolver_addr *addr)
{
	if (addr->len != 4 || addr->bytes[0] != 127)
		return false;
	if (!str_present(filter))
		return true;
	for (size_t i = 0; i < 4; i++) {
		size_t n = 0;
		int depth = 0;

		while (n < filter.len && (depth > 0 || filter.ptr[n] != '.')) {
			depth += filter.ptr[n] == '[';
			depth -= filter.ptr[n] == ']';
			n++;
		}
		if (!octet_fits(str_sub(filter, 0, n), addr->bytes[i]))
			return false;
		filter = str_from_at(filter, n + 1);
	}
	return true;
}

struct str dnsbl_address(const unsigned char *addr, size_t len, struct arena *a)
{
	struct str name = dns_reverse_name(addr, len, "", "", a);

	if (str_ends(name, "."))
		name.len--;
	return name;
}

bool dnsbl_listed(const struct policy *p, struct str spec, struct str query,
	struct arena *a, struct str *name_r)
{
	struct resolver_addrs addrs = {0};
	struct str filter = spec;
	struct str list = str_cut(&filter, '=');
	struct fault f;

	if (p->resolver == NULL || query.len == 0 ||
		dnsbl_watch_ignores(p->dnsbl_watch, list))
		return false;
	*name_r = arena_printf(a, "%.*s.%.*s", STR_ARG(query), STR_ARG(list));
	if (resolver_host(p->resolver, *name_r, RESOLVER_V4, a, &addrs, &f) !=
		DNS_OK)
		return false; /* a silent list blocks nobody */
	for (size_t i = 0; i < addrs.n; i++)
		if (reply_fits(filter, &addrs.v[i]))
			return true;
	return false;
}

/* Rejects when the list of rule->arg, "zone" or "zone=127.0.0.[2..11]", knows
 * the query; a silent list blocks nobody. */
static enum outcome restrict_dnsbl(struct check *c, const struct rule *rule,
	struct str query, enum subject subject, struct decision *d)
{
	static const char *const classes[] = {"Client host", "Helo command",
		"Sender address", "Recipient address", "Login"};
	struct str rest = rule->arg, name;
	struct strs texts = {0};
	struct fault f;

	if (!dnsbl_listed(c->policy, rule->arg, query, c->a, &name))
		return OUT_DUNNO;
	resolver_txt(c->policy->resolver, name, c->a, &texts, &f);
	const struct rbl_listing l = {.spec = rule->arg,
		.list = str_cut(&rest, '='),
		.class = classes[subject],
		.what = subject == SUBJECT_CLIENT      ? c->client_text
			: subject == SUBJECT_SENDER    ? c->sender
			: subject == SUBJECT_RECIPIENT ? c->recipient
						       : query,
		.why = texts.n > 0 ? texts.v[0] : STR("")};
	return restrict_rbl_reply(c, &l, d);
}

/* ---- what each of them asks the list about ---- */

RULE(reject_rbl_client)
{
	if (c->client_addr_len == 0)
		return OUT_DUNNO;
	return restrict_dnsbl(c, rule,
		dnsbl_address(c->client_addr, c->client_addr_len, c->a),
		SUBJECT_CLIENT, d);
}

RULE(reject_rhsbl_sender)
{
	return restrict_dnsbl(
		c, rule, smtp_address_domain(c->sender), SUBJECT_SENDER, d);
}

RULE(reject_rhsbl_recipient)
{
	return restrict_dnsbl(c, rule, smtp_address_domain(c->recipient),
		SUBJECT_RECIPIENT, d);
}

RULE(reject_rhsbl_helo)
{
	bool name = str_present(c->helo) && c->helo.len > 0 &&
		    c->helo.ptr[0] != '[';

	return restrict_dnsbl(
		c, rule, name ? c->helo : STR(""), SUBJECT_HELO, d);
}

static struct str known_name(struct str name)
{
	return str_ieqc(name, "unknown") ? STR("") : name;
}

RULE(reject_rhsbl_client)
{
	return restrict_dnsbl(
		c, rule, known_name(c->client_name), SUBJECT_CLIENT, d);
}

RULE(reject_rhsbl_reverse_client)
{
	return restrict_dnsbl(
		c, rule, known_name(c->reverse_name), SUBJECT_CLIENT, d);
}
