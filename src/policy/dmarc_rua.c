/* SPDX-License-Identifier: ISC */
#include "policy/dmarc_rua.h"

#include "codec/smtp/path.h"
#include "policy/dmarc.h"

size_t dmarc_rua_addresses(struct str rua, struct arena *a, struct dmarc_rua *v)
{
	size_t n = dmarc_rua_parse(rua, DMARC_RUA_MAX, a, v), kept = 0;

	for (size_t i = 0; i < n; i++)
		if (smtp_address_valid(v[i].address, false))
			v[kept++] = v[i];
	return kept;
}

static bool same_organization(struct resolver *resolver, struct str x,
	struct str y, struct arena *a, bool *later_r)
{
	struct str of_x, of_y;

	if (str_ieq(x, y))
		return true;
	of_x = dmarc_organization(resolver, x, a);
	of_y = dmarc_organization(resolver, y, a);
	*later_r |= !str_present(of_x) || !str_present(of_y);
	return str_present(of_x) && str_present(of_y) && str_ieq(of_x, of_y);
}

/* "example.com._report._dmarc.thirdparty.example" */
static bool says_yes(struct resolver *resolver, struct str domain,
	struct str host, struct arena *a, bool *later_r)
{
	struct strs texts = {0};
	struct fault f;
	enum dns_result d = resolver_txt(resolver,
		arena_printf(a, "%.*s._report._dmarc.%.*s", STR_ARG(domain),
			STR_ARG(host)),
		a, &texts, &f);

	*later_r |= d == DNS_TEMP;
	for (size_t i = 0; i < texts.n; i++)
		if (dmarc_is_record(texts.v[i]))
			return true;
	return false;
}

size_t dmarc_rua_allowed(struct resolver *resolver, struct str domain,
	struct str rua, struct arena *a, struct dmarc_rua *v, bool *later_r)
{
	struct dmarc_rua all[DMARC_RUA_MAX];
	size_t n = dmarc_rua_addresses(rua, a, all), kept = 0;

	*later_r = false;
	for (size_t i = 0; i < n; i++) {
		struct str host = smtp_address_domain(all[i].address);

		if (str_present(host) &&
			(same_organization(
				 resolver, domain, host, a, later_r) ||
				says_yes(resolver, domain, host, a, later_r)))
			v[kept++] = all[i];
	}
	return kept;
}
