/* SPDX-License-Identifier: ISC */
/* The restrictions about names: of HELO, of addresses, of the client; are they
 * whole, and does DNS know them? */
#include "codec/postfix/value.h"
#include "codec/smtp/path.h"
#include "policy/restrict_private.h"

static bool is_fqdn(struct str name)
{
	if (name.len > 0 && name.ptr[0] == '[')
		return smtp_literal_valid(name);
	if (str_ends(name, "."))
		name.len--;
	return str_find(name, '.') > 0 && smtp_domain_valid(name, true);
}

RULE(reject_invalid_helo_hostname)
{
	struct str helo = c->helo;
	unsigned char addr[16];
	size_t len;

	if (!str_present(helo))
		return OUT_DUNNO;
	if (str_ends(helo, ".") && helo.len > 1)
		helo.len--;
	bool ok = helo.len > 0 && helo.ptr[0] == '['
			  ? smtp_literal_valid(helo)
			  : hostname_valid(helo) ||
				    address_parse(helo, addr, &len);
	return ok ? OUT_DUNNO
		  : restrict_reject(c, d,
			    c->policy->c->invalid_hostname_reject_code, "5.5.2",
			    SUBJECT_HELO, "Invalid name");
}

RULE(reject_non_fqdn_helo_hostname)
{
	return !str_present(c->helo) || is_fqdn(c->helo)
		       ? OUT_DUNNO
		       : restrict_reject(c, d,
				 c->policy->c->non_fqdn_reject_code, "5.5.2",
				 SUBJECT_HELO, "need fully-qualified hostname");
}

/* Has the domain an MX or an address?  -1: temporary */
static int has_mail_host(
	struct check *c, struct str domain, bool *null_mx_r, struct fault *f)
{
	struct resolver_mx *mx;
	struct resolver_addrs addrs = {0};
	size_t n;

	*null_mx_r = false;
	if (domain.len > 0 && domain.ptr[0] == '[')
		return 1;
	if (c->policy->resolver == NULL)
		return -1;
	switch (resolver_mx(c->policy->resolver, domain, c->a, &mx, &n, f)) {
	case DNS_OK:
		*null_mx_r = n == 1 && str_eqc(mx[0].host, ".");
		return 1;
	case DNS_TEMP:
		return -1;
	case DNS_NXDOMAIN:
		return 0;
	case DNS_NONE:
		break;
	}
	enum dns_result r = resolver_host(c->policy->resolver, domain,
		RESOLVER_V4 | RESOLVER_V6, c->a, &addrs, f);
	return r == DNS_OK ? 1 : r == DNS_TEMP ? -1 : 0;
}

RULE(reject_unknown_helo_hostname)
{
	struct fault f;
	bool null_mx;

	if (!str_present(c->helo))
		return OUT_DUNNO;
	int known = has_mail_host(c, c->helo, &null_mx, &f);
	if (known > 0)
		return OUT_DUNNO;
	restrict_reject(c, d,
		known < 0 ? 450 : c->policy->c->unknown_hostname_reject_code,
		"5.7.1", SUBJECT_HELO, "Host not found");
	return known < 0
		       ? restrict_nobody_knows(c, d,
				 c->policy->c
					 ->unknown_helo_hostname_tempfail_action)
		       : OUT_REJECT;
}

static enum outcome non_fqdn_address(struct check *c, struct decision *d,
	struct str address, const char *enhanced, enum subject subject)
{
	struct str local, domain;

	if (!str_present(address) || address.len == 0)
		return OUT_DUNNO;
	smtp_address_split(address, &local, &domain);
	if (str_ieqc(address, "postmaster") ||
		(str_present(domain) && is_fqdn(domain)))
		return OUT_DUNNO;
	return restrict_reject(c, d, c->policy->c->non_fqdn_reject_code,
		enhanced, subject, "need fully-qualified address");
}

RULE(reject_non_fqdn_sender)
{
	return non_fqdn_address(c, d, c->sender, "5.5.2", SUBJECT_SENDER);
}

RULE(reject_non_fqdn_recipient)
{
	return non_fqdn_address(c, d, c->recipient, "5.5.2", SUBJECT_RECIPIENT);
}

static enum outcome unknown_domain(
	struct check *c, struct decision *d, struct str address, bool is_sender)
{
	enum subject subject = is_sender ? SUBJECT_SENDER : SUBJECT_RECIPIENT;
	struct str local, domain;
	enum address_class class;
	struct fault f;
	bool null_mx;

	if (!str_present(address) || address.len == 0)
		return OUT_DUNNO;
	smtp_address_split(address, &local, &domain);
	if (!policy_class(c->policy, domain, c->a, &class, &f))
		return restrict_temp(c, d, &f);
	if (class != CLASS_DEFAULT || !str_present(domain))
		return OUT_DUNNO;
	int known = has_mail_host(c, domain, &null_mx, &f);
	/* RFC 7505 4.2: mail from a null-MX domain cannot be answered */
	if (known > 0 && null_mx)
		return restrict_reject(c, d, is_sender ? 550 : 556,
			is_sender ? "5.7.27" : "5.1.10", subject,
			"Domain does not accept mail (nullMX)");
	if (known > 0)
		return OUT_DUNNO;
	restrict_reject(c, d,
		known < 0 ? 450 : c->policy->c->unknown_address_reject_code,
		is_sender ? "5.1.8" : "5.1.2", subject, "Domain not found");
	return known < 0
		       ? restrict_nobody_knows(c, d,
				 c->policy->c->unknown_address_tempfail_action)
		       : OUT_REJECT;
}

RULE(reject_unknown_sender_domain)
{
	return unknown_domain(c, d, c->sender, true);
}

RULE(reject_unknown_recipient_domain)
{
	return unknown_domain(c, d, c->recipient, false);
}

static enum outcome unknown_client(
	struct check *c, struct decision *d, struct str name, const char *what)
{
	if (!str_ieqc(name, "unknown"))
		return OUT_DUNNO;
	restrict_reject(c, d,
		c->client_temp ? 450 : c->policy->c->unknown_client_reject_code,
		"5.7.25", SUBJECT_CLIENT, "cannot find your %s, [%.*s]", what,
		STR_ARG(c->client_text));
	return c->client_temp ? restrict_defer_if_permit(c, d) : OUT_REJECT;
}

RULE(reject_unknown_client_hostname)
{
	return unknown_client(c, d, c->client_name, "hostname");
}

RULE(reject_unknown_reverse_client_hostname)
{
	return unknown_client(c, d, c->reverse_name, "reverse hostname");
}

/* The PTR name has no address at all. */
RULE(reject_unknown_forward_client_hostname)
{
	struct resolver_addrs addrs = {0};
	struct fault f;

	if (str_ieqc(c->reverse_name, "unknown") || c->policy->resolver == NULL)
		return unknown_client(c, d, c->reverse_name, "hostname");
	enum dns_result r = resolver_host(c->policy->resolver, c->reverse_name,
		RESOLVER_V4 | RESOLVER_V6, c->a, &addrs, &f);
	return r == DNS_OK ? OUT_DUNNO
			   : unknown_client(c, d, STR("unknown"), "hostname");
}
