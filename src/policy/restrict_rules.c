/* SPDX-License-Identifier: ISC */
/* The restrictions about the client, its session and where mail goes. */
#include <string.h>

#include "codec/smtp/path.h"
#include "conf/service.h"
#include "policy/restrict_private.h"

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
	rule_defer(c, rule, d);
	return restrict_defer_if_permit(c, d);
}

RULE(defer_if_reject)
{
	rule_defer(c, rule, d);
	c->defer_if_reject =
		arena_printf(c->a, "%d %.*s", d->code, STR_ARG(d->text));
	*d = (struct decision){.verdict = VERDICT_PERMIT};
	return OUT_DUNNO;
}

RULE(sleep)
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

bool restrict_is_routed(const struct check *c, struct str local, bool bang)
{
	const struct conf *conf = c->policy->c;

	/* resolve_dequoted_address: what stands in quotes counts, too. */
	if (conf->allow_untrusted_routing ||
		(!conf->resolve_dequoted_address && str_starts(local, "\"")))
		return false;
	return str_find(local, '%') >= 0 || str_find(local, '@') >= 0 ||
	       (bang && str_find(local, '!') >= 0);
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
		*ours_r = !restrict_is_routed(c, local, class == CLASS_RELAY);
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
		       ? restrict_reject(c, d,
				 c->policy->c
					 ->multi_recipient_bounce_reject_code,
				 "5.5.3", SUBJECT_SENDER,
				 "Multi-recipient bounce")
		       : OUT_DUNNO;
}

/* ---- certificates of clients ---- */

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
