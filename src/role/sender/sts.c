/* SPDX-License-Identifier: ISC */
/*
 * MTA-STS, RFC 8461: where the administrator asks for no more than TLS if it is
 * there, the domain itself may ask for more.  DANE goes first (2).
 */
#include "policy/mta_sts.h"

#include "role/sender/delivery.h"

void sender_sts_policy(struct delivery *d)
{
	bool optional = (d->job->env.flags & ENV_TLS_OPTIONAL) != 0 &&
			!sender_requires_tls(d);
	struct str why;

	d->sts = NULL;
	if (d->s->sts == NULL || optional || d->policy.level == TLS_NONE ||
		d->policy.listed || !str_present(d->site.exchangers))
		return;
	d->sts = arena_make(d->a, struct mta_sts_policy);
	*d->sts = mta_sts_of(d->s->sts, d->site.host, d->a, &why);
	if (str_present(why))
		log_warn("MTA-STS policy not fetched",
			log_s("domain", d->site.host), log_s("reason", why));
}

bool sender_sts_host(
	struct delivery *d, const struct site_host *h, struct fault *f)
{
	d->sts_matched = false;
	if (d->sts == NULL || d->sts->mode != MTA_STS_ENFORCE || d->n_tlsa > 0)
		return true;
	if (!mta_sts_mx_matches(d->sts, h->name))
		return d->policy.level > TLS_ENCRYPT ||
		       fault_set(f, FAULT_TEMP, 451, 7, 5,
			       "%.*s is no server of %.*s by its MTA-STS "
			       "policy",
			       STR_ARG(h->name), STR_ARG(d->site.host));
	d->sts_matched = true;
	if (d->level <= TLS_ENCRYPT) {
		d->level = TLS_VERIFY;
		d->match = STR("hostname");
	}
	return true;
}
