/* SPDX-License-Identifier: ISC */
#include "policy/dmarc.h"

#include "codec/mail/address.h"
#include "codec/mail/header.h"

enum {
	QUERIES_MAX = 8, /* RFC 9989 4.10 */
	FROM_MAX = 20,
};

const char *dmarc_result_name(enum dmarc_result r)
{
	static const char *const names[] = {
		"none", "pass", "fail", "temperror", "permerror"};

	return names[r];
}

/* ---- the tree walk: 4.10 ---- */

struct found {
	struct str domain; /* absent: none */
	struct dmarc_record record;
};

struct walk {
	struct found own; /* of the name itself */
	struct str organization;
	struct found of_organization, of_psd;
};

static unsigned count_labels(struct str name)
{
	unsigned n = name.len > 0;

	for (size_t i = 0; i < name.len; i++)
		n += name.ptr[i] == '.';
	return n;
}

static struct str parent(struct str name)
{
	ptrdiff_t dot = str_find(name, '.');

	return dot < 0 ? STR("") : str_from_at(name, (size_t)dot + 1);
}

static struct str last_labels(struct str name, unsigned n)
{
	while (count_labels(name) > n)
		name = parent(name);
	return name;
}

/* Two records are none: 4.7.  False: DNS failed. */
static bool look_up(struct resolver *resolver, struct str domain,
	struct arena *a, struct found *found_r)
{
	struct strs texts = {0};
	unsigned n = 0;
	struct fault f;
	enum dns_result r = resolver_txt(resolver,
		arena_printf(a, "_dmarc.%.*s", STR_ARG(domain)), a, &texts, &f);

	*found_r = (struct found){0};
	for (size_t i = 0; i < texts.n; i++) {
		if (!dmarc_is_record(texts.v[i]))
			continue;
		n++;
		if (dmarc_record_parse(texts.v[i], a, &found_r->record))
			found_r->domain = domain;
	}
	if (n > 1)
		*found_r = (struct found){0};
	return r != DNS_TEMP;
}

/* From the name to the root, eight questions at most. */
static bool walk_tree(struct resolver *resolver, struct str domain,
	struct arena *a, struct walk *w)
{
	struct str at = domain, before = domain;
	struct found found;

	*w = (struct walk){.organization = domain};
	for (unsigned i = 0; i < QUERIES_MAX && at.len > 0; i++) {
		if (!look_up(resolver, at, a, &found))
			return false;
		if (i == 0)
			w->own = found;
		if (str_present(found.domain)) {
			enum dmarc_psd psd = found.record.psd;

			if (psd == DMARC_PSD_YES && i > 0) {
				w->organization = before;
				w->of_psd = found;
				if (!str_present(w->of_organization.domain) ||
					!str_eq(w->of_organization.domain,
						before))
					w->of_organization = (struct found){0};
				return true;
			}
			w->organization = at;
			w->of_organization = found;
			if (psd != DMARC_PSD_UNKNOWN)
				return true;
		}
		before = at;
		at = i == 0 && count_labels(at) > QUERIES_MAX - 1
			     ? last_labels(at, QUERIES_MAX - 1)
			     : parent(at);
	}
	return true;
}

/* ---- alignment: 4.4 ---- */

/* One From domain at work. */
struct judging {
	struct resolver *resolver;
	struct arena *a;
	struct str from;
	struct walk walk;
	bool walked; /* far enough to know the organization */
	bool temp; /* DNS failed somewhere */
};

/* The organization is only looked for where the name itself decides nothing:
 * most mail is aligned to the letter. */
static bool know_organization(struct judging *j)
{
	if (!j->walked && !walk_tree(j->resolver, j->from, j->a, &j->walk)) {
		j->temp = true;
		return false;
	}
	j->walked = true;
	return true;
}

static bool aligned(struct judging *j, struct str name, bool strict)
{
	struct walk w;

	if (!str_present(name) || name.len == 0)
		return false;
	name = resolver_ascii(name, j->a);
	if (!str_present(name))
		return false;
	if (str_eq(name, j->from))
		return true;
	/* What shares no label at the end cannot share an organization. */
	if (strict || !str_iends(name, last_labels(j->from, 1)) ||
		!know_organization(j))
		return false;
	if (str_eq(name, j->walk.organization))
		return true;
	if (!walk_tree(j->resolver, name, j->a, &w)) {
		j->temp = true;
		return false;
	}
	return str_eq(w.organization, j->walk.organization);
}

struct str dmarc_organization(
	struct resolver *resolver, struct str domain, struct arena *a)
{
	struct walk w;

	return walk_tree(resolver, arena_lower(a, domain), a, &w)
		       ? w.organization
		       : STR_NONE;
}

/* 4.10.1, np=: is there anything of that name? */
static bool exists(struct resolver *resolver, struct str domain,
	struct arena *a, bool *temp)
{
	struct resolver_addrs addrs = {0};
	struct resolver_mx *mx;
	struct fault f;
	size_t n;
	enum dns_result r = resolver_mx(resolver, domain, a, &mx, &n, &f);

	if (r == DNS_NXDOMAIN)
		return false;
	if (r == DNS_NONE)
		r = resolver_host(resolver, domain, RESOLVER_V4 | RESOLVER_V6,
			a, &addrs, &f);
	*temp |= r == DNS_TEMP;
	return r == DNS_OK || r == DNS_TEMP;
}

/* False: DNS failed. */
static bool find_policy(struct judging *j, const struct found **record_r,
	enum dmarc_policy *policy_r)
{
	const struct walk *w = &j->walk;

	*record_r = &w->own;
	if (!look_up(j->resolver, j->from, j->a, &j->walk.own))
		return false;
	if (str_present(w->own.domain)) {
		*policy_r = w->own.record.p;
		return true;
	}
	if (!know_organization(j))
		return false;
	*record_r = str_present(w->of_organization.domain) ? &w->of_organization
							   : &w->of_psd;
	const struct dmarc_record *r = &(*record_r)->record;
	*policy_r =
		r->np == r->sp || exists(j->resolver, j->from, j->a, &j->temp)
			? r->sp
			: r->np;
	return true;
}

static enum dmarc_policy milder(enum dmarc_policy p)
{
	return p == DMARC_REJECT ? DMARC_QUARANTINE : DMARC_NO_POLICY;
}

/* ---- one domain of From ---- */

static void align(struct judging *j, const struct spf_verdict *spf,
	const struct dkim_verdict *dkim, size_t n_dkim, struct dmarc_verdict *v)
{
	const struct dmarc_record *r = &v->record;

	v->spf_aligned = spf->result == SPF_PASS &&
			 aligned(j, spf->domain, r->strict_spf);
	for (size_t i = 0; i < n_dkim && !v->dkim_aligned; i++)
		v->dkim_aligned =
			dkim[i].result == DKIM_PASS &&
			aligned(j, dkim[i].signature.domain, r->strict_dkim);
	j->temp |= spf->result == SPF_TEMPERROR;
	for (size_t i = 0; i < n_dkim; i++)
		j->temp |= dkim[i].result == DKIM_TEMPERROR;
}

static struct dmarc_verdict judge(struct resolver *resolver, struct str from,
	const struct spf_verdict *spf, const struct dkim_verdict *dkim,
	size_t n_dkim, struct arena *a)
{
	struct dmarc_verdict v = {.from = resolver_ascii(from, a)};
	struct judging j = {.resolver = resolver, .a = a};
	const struct found *found;

	if (!str_present(v.from)) {
		v.result = DMARC_PERMERROR;
		v.why = "From has a domain that is no name";
		return v;
	}
	if (str_ends(v.from, "."))
		v.from.len--;
	j.from = v.from;
	if (!find_policy(&j, &found, &v.policy)) {
		v.result = DMARC_TEMPERROR;
		v.why = "DNS failed for the policy";
		return v;
	}
	if (!str_present(found->domain))
		return v;
	v.policy_domain = found->domain;
	v.disposition = found->record.testing ? milder(v.policy) : v.policy;
	v.record = found->record;
	align(&j, spf, dkim, n_dkim, &v);
	if (v.spf_aligned || v.dkim_aligned) {
		v.result = DMARC_PASS;
		v.disposition = DMARC_NO_POLICY;
	} else if (j.temp) {
		/* 5.4: what DNS may still say might be a pass. */
		v.result = DMARC_TEMPERROR;
		v.why = "DNS failed for what might have passed";
	} else {
		v.result = DMARC_FAIL;
	}
	return v;
}

/* ---- From ---- */

static bool is_stricter(
	const struct dmarc_verdict *a, const struct dmarc_verdict *b)
{
	static const int weight[] = {[DMARC_NONE] = 1,
		[DMARC_PASS] = 0,
		[DMARC_FAIL] = 3,
		[DMARC_TEMPERROR] = 2,
		[DMARC_PERMERROR] = 2};

	if (a->disposition != b->disposition)
		return a->disposition > b->disposition;
	return weight[a->result] > weight[b->result];
}

static bool is_domain(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];

		if (!ascii_is_alnum(s.ptr[i]) && c != '.' && c != '-' &&
			c != '_' && c < 0x80)
			return false;
	}
	return str_present(s) && s.len > 0 && s.len <= 253;
}

/* A reader may end the address where such a byte stands. */
static bool has_control(struct str value)
{
	for (size_t i = 0; i < value.len; i++) {
		unsigned char c = (unsigned char)value.ptr[i];

		if ((c < 0x20 && c != '\t' && c != '\r' && c != '\n') ||
			c == 0x7f)
			return true;
	}
	return false;
}

/* The domains of all From fields; *odd_r: not as RFC 5322 3.6 wants. */
static void from_domains(struct str head, struct arena *a, struct strs *domains,
	const char **odd_r)
{
	struct mail_address_list list = {0};
	struct mail_field f;
	unsigned fields = 0;

	*odd_r = NULL;
	for (struct str rest = head; mail_field_next(&rest, &f);) {
		if (!str_ieqc(f.name, "From"))
			continue;
		fields++;
		if (has_control(f.value))
			*odd_r = "From has a control character";
		if (!mail_address_parse(f.value, FROM_MAX, a, &list))
			*odd_r = "From has too many addresses";
	}
	for (size_t i = 0; i < list.n; i++) {
		struct str domain = list.v[i].domain;

		if (list.v[i].kind != MAIL_MAILBOX)
			continue;
		if (!is_domain(domain))
			*odd_r = "From has an address that cannot be read";
		else if (!strs_has(domains, arena_lower(a, domain)))
			strs_add(domains, a, arena_lower(a, domain));
	}
	if (fields != 1)
		*odd_r = fields == 0 ? "there is no From field"
				     : "there is more than one From field";
	else if (domains->n == 0 && *odd_r == NULL)
		*odd_r = "From has no address";
}

struct dmarc_verdict dmarc_check(struct resolver *resolver, struct str head,
	const struct spf_verdict *spf, const struct dkim_verdict *dkim,
	size_t n_dkim, struct arena *a)
{
	struct dmarc_verdict worst = {0};
	struct strs domains = {0};
	const char *odd;

	from_domains(head, a, &domains, &odd);
	for (size_t i = 0; i < domains.n; i++) {
		struct dmarc_verdict v =
			judge(resolver, domains.v[i], spf, dkim, n_dkim, a);

		if (i == 0 || is_stricter(&v, &worst))
			worst = v;
	}
	if (odd != NULL) {
		/* What readers show is anybody's guess: nothing is proved. */
		if (worst.result == DMARC_PASS) {
			worst.result = DMARC_FAIL;
			worst.disposition = worst.policy;
		}
		if (worst.result == DMARC_NONE)
			worst.result = DMARC_PERMERROR;
		worst.why = odd;
	}
	return worst;
}
