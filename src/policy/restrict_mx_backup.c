/* SPDX-License-Identifier: ISC */
/*
 * permit_mx_backup: mail for a domain whose MX records name us may pass.  Who
 * owns the domain decides that, so permit_mx_backup_networks should say where
 * its first server may be.
 */
#include "codec/smtp/path.h"
#include "conf/service.h"
#include "policy/restrict_private.h"

/* Is one of the host's addresses ours (own), or in the networks? */
static bool host_is(struct check *c, struct str host, bool own)
{
	struct resolver_addrs addrs = {0};
	struct fault f;

	if (resolver_host(c->policy->resolver, host, RESOLVER_V4 | RESOLVER_V6,
		    c->a, &addrs, &f) != DNS_OK)
		return false;
	for (size_t i = 0; i < addrs.n; i++) {
		const struct resolver_addr *a = &addrs.v[i];

		if (own ? conf_is_own_address(c->policy->c, a->bytes, a->len)
			: match_address(c->policy->mx_backup_networks, a->bytes,
				  a->len, STR(""), c->a, &f) == TABLE_FOUND)
			return true;
	}
	return false;
}

enum outcome restrict_mx_backup(
	struct check *c, const struct rule *rule UNUSED, struct decision *d)
{
	struct resolver_mx *mx = NULL;
	struct str local, domain;
	bool ours = false, first_fits = false;
	size_t n = 0;
	struct fault f;

	if (!str_present(c->recipient))
		return OUT_DUNNO;
	if (restrict_is_auth_destination(c))
		return OUT_PERMIT;
	smtp_address_split(c->recipient, &local, &domain);
	/* Sender-specified routing is for nobody. */
	if (c->policy->resolver == NULL || domain.len == 0 ||
		restrict_is_routed(c, local, true))
		return OUT_DUNNO;
	switch (resolver_mx(c->policy->resolver, domain, c->a, &mx, &n, &f)) {
	case DNS_TEMP:
		restrict_temp(c, d, &f);
		return restrict_defer_if_permit(c, d);
	case DNS_NONE:
	case DNS_NXDOMAIN:
		return OUT_DUNNO;
	case DNS_OK:
		break;
	}
	for (size_t i = 0; i < n; i++) {
		if (mx[i].preference == mx[0].preference)
			first_fits |= host_is(c, mx[i].host, false);
		else
			ours |= host_is(c, mx[i].host, true);
	}
	if (c->policy->c->permit_mx_backup_networks.len == 0)
		first_fits = true;
	return ours && first_fits ? OUT_PERMIT : OUT_DUNNO;
}
