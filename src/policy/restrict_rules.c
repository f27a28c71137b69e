/* SPDX-License-Identifier: ISC */
/* The restrictions themselves, one function each, and their table. */
#include <string.h>

#include "codec/postfix/lines.h"
#include "codec/postfix/value.h"
#include "codec/smtp/path.h"
#include "conf/service.h"
#include "policy/restrict_private.h"

#define RULE(name)                                                             \
	static enum outcome name(struct check *c UNUSED,                       \
		const struct rule *rule UNUSED, struct decision *d UNUSED)

RULE(permit)
{
	return OUT_PERMIT;
}

RULE(reject)
{
	return restrict_reject(c, d, c->policy->c->reject_code, "5.7.1",
		restrict_subject(c), "Access denied");
}

RULE(defer)
{
	return restrict_reject(c, d, c->policy->c->defer_code, "4.7.1",
		restrict_subject(c), "Try again later");
}

RULE(defer_if_permit)
{
	defer(c, rule, d);
	return restrict_defer_if_permit(c, d);
}

RULE(defer_if_reject)
{
	defer(c, rule, d);
	c->defer_if_reject =
		arena_printf(c->a, "%d %.*s", d->code, STR_ARG(d->text));
	*d = (struct decision){.verdict = VERDICT_PERMIT};
	return OUT_DUNNO;
}

RULE(sleep_rule)
{
	uint64_t seconds;

	if (str_u64(rule->arg, &seconds) && seconds <= 30)
		d->sleep_ms += (int64_t)seconds * 1000;
	return OUT_DUNNO;
}

RULE(permit_mynetworks)
{
	struct fault f;
	enum table_result r = match_address(c->policy->mynetworks,
		c->client_addr, c->client_addr_len, c->client_text, c->a, &f);

	if (r == TABLE_ERROR)
		return restrict_temp(c, d, &f);
	return r == TABLE_FOUND ? OUT_PERMIT : OUT_DUNNO;
}

RULE(permit_inet_interfaces)
{
	return conf_is_own_address(
		       c->policy->c, c->client_addr, c->client_addr_len)
		       ? OUT_PERMIT
		       : OUT_DUNNO;
}

RULE(permit_sasl_authenticated)
{
	return str_present(c->login) ? OUT_PERMIT : OUT_DUNNO;
}

/* A destination of ours, without tricks like user%elsewhere@here. */
static bool auth_destination(struct check *c, bool *ours_r, struct fault *f)
{
	struct str local, domain;
	enum address_class class;

	*ours_r = true;
	smtp_address_split(c->recipient, &local, &domain);
	if (!policy_class(c->policy, domain, c->a, &class, f))
		return false;
	if (class == CLASS_DEFAULT) {
		*ours_r = false;
		return true;
	}
	/* Sender-specified routing is for nobody: attack "percent hack". */
	if (class == CLASS_RELAY || class == CLASS_LOCAL)
		*ours_r = str_find(local, '%') < 0 &&
			  str_find(local, '@') < 0 &&
			  (str_find(local, '!') < 0 || class == CLASS_LOCAL);
	return true;
}

static enum outcome unauth(struct check *c, struct decision *d, int64_t code)
{
	struct fault f;
	bool ours;

	if (!str_present(c->recipient))
		return OUT_DUNNO;
	if (!auth_destination(c, &ours, &f))
		return restrict_temp(c, d, &f);
	return ours ? OUT_DUNNO
		    : restrict_reject(c, d, code, "5.7.1", SUBJECT_RECIPIENT,
			      "Relay access denied");
}

RULE(reject_unauth_destination)
{
	return unauth(c, d, c->policy->c->relay_domains_reject_code);
}

RULE(defer_unauth_destination)
{
	/* Postfix: the relay code of the class 4: 454 4.7.1 */
	return unauth(c, d, 454);
}

RULE(permit_auth_destination)
{
	struct fault f;
	bool ours;

	if (!str_present(c->recipient))
		return OUT_DUNNO;
	if (!auth_destination(c, &ours, &f))
		return restrict_temp(c, d, &f);
	return ours ? OUT_PERMIT : OUT_DUNNO;
}

bool restrict_is_auth_destination(struct check *c)
{
	struct fault f;
	bool ours;

	return auth_destination(c, &ours, &f) && ours;
}

RULE(reject_unauth_pipelining)
{
	if (!c->pipelined)
		return OUT_DUNNO;
	d->verdict = VERDICT_REJECT;
	d->code = 503;
	d->text = STR("5.5.0 Improper use of SMTP command pipelining");
	return OUT_REJECT;
}

RULE(reject_plaintext_session)
{
	return c->tls ? OUT_DUNNO
		      : restrict_reject(c, d,
				c->policy->c->plaintext_reject_code, "5.7.1",
				restrict_subject(c),
				"Session encryption is required");
}

RULE(reject_multi_recipient_bounce)
{
	return str_present(c->sender) && c->sender.len == 0 && c->recipients > 1
		       ? restrict_reject(c, d, 550, "5.5.3", SUBJECT_SENDER,
				 "Multi-recipient bounce")
		       : OUT_DUNNO;
}

/* ---- names ---- */

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
	return known < 0 ? restrict_defer_if_permit(c, d) : OUT_REJECT;
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
	return known < 0 ? restrict_defer_if_permit(c, d) : OUT_REJECT;
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

/* ---- listed users ---- */

/* relocated(5): who has moved is told where to. */
static enum outcome moved(struct check *c, struct decision *d)
{
	struct str where;
	struct fault f;

	switch (policy_relocated(c->policy, c->recipient, c->a, &where, &f)) {
	case TABLE_FOUND:
		return restrict_reject(c, d, 550, "5.1.6", SUBJECT_RECIPIENT,
			"User has moved to %.*s", STR_ARG(where));
	case TABLE_ERROR:
		return restrict_temp(c, d, &f);
	case TABLE_NONE:
		break;
	}
	return OUT_DUNNO;
}

static enum outcome unlisted(
	struct check *c, struct decision *d, struct str address, bool is_sender)
{
	const struct conf *conf = c->policy->c;
	const char *table = "recipient table";
	enum address_class class;
	struct fault f;
	bool known;

	if (!str_present(address) || address.len == 0)
		return OUT_DUNNO;
	if (!policy_recipient_known(
		    c->policy, address, c->a, &known, &class, &table, &f))
		return restrict_temp(c, d, &f);
	if (known)
		return OUT_DUNNO;
	const int64_t codes[] = {conf->unknown_local_recipient_reject_code,
		conf->unknown_virtual_alias_reject_code,
		conf->unknown_virtual_mailbox_reject_code,
		conf->unknown_relay_recipient_reject_code, 550};
	return restrict_reject(c, d, codes[class],
		is_sender ? "5.1.0" : "5.1.1",
		is_sender ? SUBJECT_SENDER : SUBJECT_RECIPIENT,
		conf->show_user_unknown_table_name ? "User unknown in %s"
						   : "User unknown",
		table);
}

RULE(reject_unlisted_recipient)
{
	enum outcome out = str_present(c->recipient) ? moved(c, d) : OUT_DUNNO;

	return out != OUT_DUNNO ? out : unlisted(c, d, c->recipient, false);
}

RULE(reject_unlisted_sender)
{
	return unlisted(c, d, c->sender, true);
}

static enum outcome login_mismatch(
	struct check *c, struct decision *d, bool only_known, bool only_auth)
{
	struct fault f;
	bool owns, owned;

	if (!str_present(c->sender) || c->sender.len == 0)
		return OUT_DUNNO;
	if (!policy_login_owns(
		    c->policy, c->login, c->sender, c->a, &owns, &owned, &f))
		return restrict_temp(c, d, &f);
	if (str_present(c->login)) {
		if (owns || (only_known && !owned))
			return OUT_DUNNO;
		return restrict_reject(c, d, 553, "5.7.1", SUBJECT_SENDER,
			"not owned by user %.*s", STR_ARG(c->login));
	}
	if (only_auth || !owned)
		return OUT_DUNNO;
	return restrict_reject(
		c, d, 553, "5.7.1", SUBJECT_SENDER, "not logged in");
}

RULE(reject_sender_login_mismatch)
{
	return login_mismatch(c, d, false, false);
}

RULE(reject_authenticated_sender_login_mismatch)
{
	return login_mismatch(c, d, false, true);
}

RULE(reject_known_sender_login_mismatch)
{
	return login_mismatch(c, d, true, false);
}

RULE(reject_unauthenticated_sender_login_mismatch)
{
	return str_present(c->login) ? OUT_DUNNO
				     : login_mismatch(c, d, false, false);
}

/* ---- access maps ---- */

RULE(check_client_access)
{
	return restrict_access(c, rule, SUBJECT_CLIENT, d);
}

RULE(check_helo_access)
{
	return restrict_access(c, rule, SUBJECT_HELO, d);
}

RULE(check_sender_access)
{
	return restrict_access(c, rule, SUBJECT_SENDER, d);
}

RULE(check_etrn_access)
{
	return restrict_access(c, rule, SUBJECT_ETRN, d);
}

RULE(check_recipient_access)
{
	return restrict_access(c, rule, SUBJECT_RECIPIENT, d);
}

RULE(check_sasl_access)
{
	return restrict_access(c, rule, SUBJECT_LOGIN, d);
}

RULE(check_reverse_client_hostname_access)
{
	return restrict_access(c, rule, SUBJECT_REVERSE, d);
}

RULE(check_ccert_access)
{
	return restrict_access(c, rule, SUBJECT_CCERT, d);
}

RULE(permit_tls_all_clientcerts)
{
	c->by_certificate |= c->ccert_trusted;
	return c->ccert_trusted ? OUT_PERMIT : OUT_DUNNO;
}

/* relay_clientcerts names them: no authority has to. */
RULE(permit_tls_clientcerts)
{
	const struct str keys[] = {
		c->ccert_fingerprint, c->ccert_pubkey_fingerprint};
	struct str value;
	struct fault f;

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		enum table_result r =
			str_present(keys[i])
				? maps_lookup(c->policy->relay_clientcerts,
					  keys[i], c->a, &value, &f)
				: TABLE_NONE;

		if (r == TABLE_ERROR)
			return restrict_temp(c, d, &f);
		if (r == TABLE_FOUND) {
			c->by_certificate = true;
			return OUT_PERMIT;
		}
	}
	return OUT_DUNNO;
}

/* ---- DNS lists: RFC 5782 ---- */

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

const struct restriction_def restriction_defs[] = {
	{"permit", permit, NULL, false},
	{"reject", reject, NULL, true},
	{"defer", defer, NULL, true},
	{"defer_if_permit", defer_if_permit, NULL, true},
	{"defer_if_reject", defer_if_reject, NULL, false},
	{"warn_if_reject", permit, NULL, false},
	{"sleep", sleep_rule, "seconds", false},
	{"permit_mynetworks", permit_mynetworks, NULL, false},
	{"permit_inet_interfaces", permit_inet_interfaces, NULL, false},
	{"permit_sasl_authenticated", permit_sasl_authenticated, NULL, false},
	{"permit_auth_destination", permit_auth_destination, NULL, false},
	{"reject_unauth_destination", reject_unauth_destination, NULL, true},
	{"defer_unauth_destination", defer_unauth_destination, NULL, true},
	{"reject_unauth_pipelining", reject_unauth_pipelining, NULL, false},
	{"reject_plaintext_session", reject_plaintext_session, NULL, false},
	{"reject_multi_recipient_bounce", reject_multi_recipient_bounce, NULL,
		false},
	{"reject_invalid_helo_hostname", reject_invalid_helo_hostname, NULL,
		false},
	{"reject_invalid_hostname", reject_invalid_helo_hostname, NULL, false},
	{"reject_non_fqdn_helo_hostname", reject_non_fqdn_helo_hostname, NULL,
		false},
	{"reject_non_fqdn_hostname", reject_non_fqdn_helo_hostname, NULL,
		false},
	{"reject_unknown_helo_hostname", reject_unknown_helo_hostname, NULL,
		false},
	{"reject_unknown_hostname", reject_unknown_helo_hostname, NULL, false},
	{"reject_non_fqdn_sender", reject_non_fqdn_sender, NULL, false},
	{"reject_non_fqdn_recipient", reject_non_fqdn_recipient, NULL, false},
	{"reject_unknown_sender_domain", reject_unknown_sender_domain, NULL,
		false},
	{"reject_unknown_recipient_domain", reject_unknown_recipient_domain,
		NULL, false},
	{"reject_unknown_client_hostname", reject_unknown_client_hostname, NULL,
		false},
	{"reject_unknown_client", reject_unknown_client_hostname, NULL, false},
	{"reject_unknown_reverse_client_hostname",
		reject_unknown_reverse_client_hostname, NULL, false},
	{"reject_unlisted_recipient", reject_unlisted_recipient, NULL, false},
	{"check_recipient_maps", reject_unlisted_recipient, NULL, false},
	{"reject_unlisted_sender", reject_unlisted_sender, NULL, false},
	{"reject_sender_login_mismatch", reject_sender_login_mismatch, NULL,
		false},
	{"reject_authenticated_sender_login_mismatch",
		reject_authenticated_sender_login_mismatch, NULL, false},
	{"reject_known_sender_login_mismatch",
		reject_known_sender_login_mismatch, NULL, false},
	{"reject_unauthenticated_sender_login_mismatch",
		reject_unauthenticated_sender_login_mismatch, NULL, false},
	{"check_client_access", check_client_access, "a table", false},
	{"check_helo_access", check_helo_access, "a table", false},
	{"check_sender_access", check_sender_access, "a table", false},
	{"reject_unverified_recipient", restrict_unverified_recipient, NULL,
		false},
	{"reject_unverified_sender", restrict_unverified_sender, NULL, false},
	{"permit_mx_backup", restrict_mx_backup, NULL, false},
	{"check_etrn_access", check_etrn_access, "a table", false},
	{"check_recipient_access", check_recipient_access, "a table", false},
	{"check_client_a_access", restrict_server_access, "a table", false},
	{"check_client_mx_access", restrict_server_access, "a table", false},
	{"check_client_ns_access", restrict_server_access, "a table", false},
	{"check_reverse_client_hostname_a_access", restrict_server_access,
		"a table", false},
	{"check_reverse_client_hostname_mx_access", restrict_server_access,
		"a table", false},
	{"check_reverse_client_hostname_ns_access", restrict_server_access,
		"a table", false},
	{"check_helo_a_access", restrict_server_access, "a table", false},
	{"check_helo_mx_access", restrict_server_access, "a table", false},
	{"check_helo_ns_access", restrict_server_access, "a table", false},
	{"check_sender_a_access", restrict_server_access, "a table", false},
	{"check_sender_mx_access", restrict_server_access, "a table", false},
	{"check_sender_ns_access", restrict_server_access, "a table", false},
	{"check_recipient_a_access", restrict_server_access, "a table", false},
	{"check_recipient_mx_access", restrict_server_access, "a table", false},
	{"check_recipient_ns_access", restrict_server_access, "a table", false},
	{"check_reverse_client_hostname_access",
		check_reverse_client_hostname_access, "a table", false},
	{"permit_dnswl_client", restrict_dnswl_client, "a list", false},
	{"permit_rhswl_client", restrict_rhswl_client, "a list", false},
	{"reject_unknown_forward_client_hostname",
		reject_unknown_forward_client_hostname, NULL, false},
	{"check_ccert_access", check_ccert_access, "a table", false},
	{"permit_tls_all_clientcerts", permit_tls_all_clientcerts, NULL, false},
	{"permit_tls_clientcerts", permit_tls_clientcerts, NULL, false},
	{"check_sasl_access", check_sasl_access, "a table", false},
	{"check_policy_service", restrict_policy_service, "a policy service",
		false},
	{"reject_rbl_client", reject_rbl_client, "a list", false},
	{"reject_rhsbl_sender", reject_rhsbl_sender, "a list", false},
	{"reject_rhsbl_recipient", reject_rhsbl_recipient, "a list", false},
	{"reject_rhsbl_helo", reject_rhsbl_helo, "a list", false},
	{"reject_rhsbl_client", reject_rhsbl_client, "a list", false},
	{"reject_rhsbl_reverse_client", reject_rhsbl_reverse_client, "a list",
		false},
};
const size_t n_restriction_defs = ARRAY_LEN(restriction_defs);

struct decision restrict_unlisted_recipient(struct check *c)
{
	struct decision d = {.verdict = VERDICT_PERMIT};

	if (reject_unlisted_recipient(c, NULL, &d) == OUT_REJECT)
		c->rule = STR("smtpd_reject_unlisted_recipient");
	return d;
}

struct decision restrict_unlisted_sender(struct check *c)
{
	struct decision d = {.verdict = VERDICT_PERMIT};

	if (reject_unlisted_sender(c, NULL, &d) == OUT_REJECT)
		c->rule = STR("smtpd_reject_unlisted_sender");
	return d;
}

struct decision restrict_sender_login(struct check *c)
{
	struct decision d = {.verdict = VERDICT_PERMIT};

	if (reject_sender_login_mismatch(c, NULL, &d) == OUT_REJECT)
		c->rule = STR("reject_sender_login_mismatch");
	return d;
}
