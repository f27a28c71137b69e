/* SPDX-License-Identifier: ISC */
#include "policy/spf.h"

#include <string.h>

#include "base/must.h"
#include "base/utf8.h"
#include "codec/smtp/path.h"

/* RFC 7208 4.6.4 */
enum { LOOKUPS_MAX = 10, VOID_MAX = 2, NAMES_MAX = 10, DEPTH_MAX = 12 };

struct checking {
	const struct spf_query *q;
	struct arena *a;
	struct spf_verdict *v;
	struct spf_macros macros;
	unsigned char addr[16]; /* without an IPv4 mapping */
	size_t addr_len;
	unsigned voids;
	unsigned depth; /* of include and redirect */
	enum spf_result error; /* a term went wrong; SPF_NONE: none did */
};

static bool go_wrong(struct checking *k, enum spf_result error, struct str why)
{
	k->error = error;
	k->v->why = why;
	return false;
}

static bool temporary(struct checking *k, struct str name)
{
	return go_wrong(k, SPF_TEMPERROR,
		arena_printf(k->a, "DNS failed for %.*s", STR_ARG(name)));
}

/* Labels of 1 to 63 octets, at least two of them: 4.3 */
static bool is_domain(struct str name)
{
	struct str rest = name;
	unsigned labels = 0;

	if (name.len > 0 && str_ends(name, "."))
		rest.len--;
	if (rest.len == 0 || rest.len > 253 || name.ptr[0] == '[')
		return false;
	while (str_present(rest)) {
		struct str label = str_cut(&rest, '.');

		if (label.len == 0 || label.len > 63)
			return false;
		labels++;
	}
	return labels >= 2;
}

/* ---- look-ups ---- */

static bool count_lookup(struct checking *k)
{
	return ++k->v->lookups <= LOOKUPS_MAX ||
	       go_wrong(k, SPF_PERMERROR, STR("more than 10 DNS look-ups"));
}

static bool count_void(struct checking *k, enum dns_result r)
{
	return (r != DNS_NONE && r != DNS_NXDOMAIN) || ++k->voids <= VOID_MAX ||
	       go_wrong(k, SPF_PERMERROR,
		       STR("more than 2 look-ups without an answer"));
}

static bool in_network(const struct checking *k, const unsigned char *addr,
	size_t len, const struct spf_term *t)
{
	unsigned bits = len == 4 ? t->prefix4 : t->prefix6;
	unsigned whole = bits / 8;

	if (len != k->addr_len || memcmp(addr, k->addr, whole) != 0)
		return false;
	unsigned mask = 0xffu << (8 - bits % 8) & 0xffu;
	return bits % 8 == 0 || ((addr[whole] ^ k->addr[whole]) & mask) == 0;
}

static enum dns_result addresses_of(
	struct checking *k, struct str name, struct resolver_addrs *addrs)
{
	struct fault f;

	if (!is_domain(name))
		return DNS_NXDOMAIN;
	return resolver_host(k->q->resolver, name,
		k->addr_len == 4 ? RESOLVER_V4 : RESOLVER_V6, k->a, addrs, &f);
}

static bool one_matches(const struct checking *k,
	const struct resolver_addrs *addrs, const struct spf_term *t)
{
	for (size_t i = 0; i < addrs->n; i++)
		if (in_network(k, addrs->v[i].bytes, addrs->v[i].len, t))
			return true;
	return false;
}

/* Names of the client that lead back to it: 5.5, at most 10. */
static void validated_names(struct checking *k, struct strs *names)
{
	static const struct spf_term exact = {.prefix4 = 32, .prefix6 = 128};
	struct strs all = {0};
	struct fault f;

	if (resolver_ptrs(k->q->resolver, k->addr, k->addr_len, k->a, &all,
		    &f) != DNS_OK)
		return;
	for (size_t i = 0; i < all.n && i < NAMES_MAX; i++) {
		struct resolver_addrs addrs = {0};

		if (addresses_of(k, all.v[i], &addrs) == DNS_OK &&
			one_matches(k, &addrs, &exact))
			strs_add(names, k->a, all.v[i]);
	}
}

/* %{p}: the domain itself, or one below it, or any: 7.3 */
static struct str validated(void *ctx)
{
	struct checking *k = ctx;
	struct strs names = {0};

	validated_names(k, &names);
	for (size_t i = 0; i < names.n; i++)
		if (str_ieq(names.v[i], k->macros.domain))
			return names.v[i];
	for (size_t i = 0; i < names.n; i++)
		if (smtp_domain_is_below(names.v[i], k->macros.domain))
			return names.v[i];
	return names.n > 0 ? names.v[0] : STR("unknown");
}

/* ---- mechanisms ---- */

static enum spf_result check_domain(
	struct checking *k, struct str domain, bool included);

static bool match_include(
	struct checking *k, const struct spf_term *t, struct str domain)
{
	struct spf_macros saved = k->macros;
	struct str mechanism = k->v->mechanism;
	enum spf_result r = check_domain(k, domain, true);

	k->macros = saved;
	k->v->mechanism = mechanism;
	if (r == SPF_TEMPERROR)
		return go_wrong(k, SPF_TEMPERROR, k->v->why);
	if (r == SPF_NONE)
		return go_wrong(k, SPF_PERMERROR,
			arena_printf(k->a, "%.*s: no record there",
				STR_ARG(t->text)));
	if (r == SPF_PERMERROR)
		return go_wrong(k, SPF_PERMERROR, k->v->why);
	return r == SPF_PASS;
}

static bool match_a(
	struct checking *k, const struct spf_term *t, struct str domain)
{
	struct resolver_addrs addrs = {0};
	enum dns_result r = addresses_of(k, domain, &addrs);

	if (r == DNS_TEMP)
		return temporary(k, domain);
	return count_void(k, r) && one_matches(k, &addrs, t);
}

static bool match_mx(
	struct checking *k, const struct spf_term *t, struct str domain)
{
	struct resolver_mx *mx = NULL;
	size_t n = 0;
	struct fault f;
	enum dns_result r = DNS_NXDOMAIN;

	if (is_domain(domain))
		r = resolver_mx(k->q->resolver, domain, k->a, &mx, &n, &f);
	if (r == DNS_TEMP)
		return temporary(k, domain);
	if (!count_void(k, r))
		return false;
	if (n > NAMES_MAX)
		return go_wrong(k, SPF_PERMERROR,
			arena_printf(k->a, "%.*s: more than 10 MX hosts",
				STR_ARG(t->text)));
	for (size_t i = 0; i < n; i++) {
		struct resolver_addrs addrs = {0};

		if (addresses_of(k, mx[i].host, &addrs) == DNS_TEMP)
			return temporary(k, mx[i].host);
		if (one_matches(k, &addrs, t))
			return true;
	}
	return false;
}

static bool match_ptr(struct checking *k, struct str domain)
{
	struct strs names = {0};

	validated_names(k, &names);
	for (size_t i = 0; i < names.n; i++)
		if (smtp_domain_is_below(names.v[i], domain))
			return true;
	return false;
}

/* 5.7: an A record, whatever the client's family */
static bool match_exists(struct checking *k, struct str domain)
{
	struct resolver_addrs addrs = {0};
	struct fault f;
	enum dns_result r = DNS_NXDOMAIN;

	if (is_domain(domain))
		r = resolver_host(
			k->q->resolver, domain, RESOLVER_V4, k->a, &addrs, &f);
	if (r == DNS_TEMP)
		return temporary(k, domain);
	return count_void(k, r) && r == DNS_OK;
}

/* False and k->error set when the answer cannot be known. */
static bool matches(struct checking *k, const struct spf_term *t)
{
	struct str domain = k->macros.domain;

	if (t->mechanism == SPF_ALL)
		return true;
	if (t->mechanism == SPF_IP4)
		return k->addr_len == 4 && in_network(k, t->addr, 4, t);
	if (t->mechanism == SPF_IP6)
		return k->addr_len == 16 && in_network(k, t->addr, 16, t);
	if (!count_lookup(k))
		return false;
	/* RFC 8616 4: a local part that no name can hold matches nothing. */
	if (str_present(t->domain) && spf_uses_local_part(t->domain) &&
		!utf8_is_ascii(k->macros.local))
		return false;
	if (str_present(t->domain))
		domain = spf_expand_domain(t->domain, &k->macros, k->a);
	switch (t->mechanism) {
	case SPF_INCLUDE:
		return match_include(k, t, domain);
	case SPF_A:
		return match_a(k, t, domain);
	case SPF_MX:
		return match_mx(k, t, domain);
	case SPF_PTR:
		return match_ptr(k, domain);
	case SPF_EXISTS:
		return match_exists(k, domain);
	case SPF_ALL:
	case SPF_IP4:
	case SPF_IP6:
		break;
	}
	return false;
}

/* ---- check_host() ---- */

/* 6.2: whatever goes wrong here, there is no explanation. */
static void explain(struct checking *k, const struct spf_record *record)
{
	struct str text = STR_NONE;
	struct strs texts = {0};
	struct fault f;

	if (!str_present(record->exp))
		return;
	struct str name = spf_expand_domain(record->exp, &k->macros, k->a);
	if (!is_domain(name) ||
		resolver_txt(k->q->resolver, name, k->a, &texts, &f) !=
			DNS_OK ||
		texts.n != 1 || !utf8_is_ascii(texts.v[0]))
		return;
	if (spf_expand_text(texts.v[0], &k->macros, k->a, &text) &&
		text.len > 0)
		k->v->explanation = text;
}

/* 4.5: exactly one record */
static enum spf_result find_record(
	struct checking *k, struct str domain, struct str *text_r)
{
	struct strs texts = {0};
	struct fault f;
	enum dns_result r =
		resolver_txt(k->q->resolver, domain, k->a, &texts, &f);
	unsigned n = 0;

	if (r == DNS_TEMP) {
		temporary(k, domain);
		return SPF_TEMPERROR;
	}
	for (size_t i = 0; i < texts.n; i++)
		if (spf_is_record(texts.v[i])) {
			*text_r = texts.v[i];
			n++;
		}
	if (n > 1)
		k->v->why = arena_printf(
			k->a, "%.*s has %u SPF records", STR_ARG(domain), n);
	return n == 0 ? SPF_NONE : n == 1 ? SPF_PASS : SPF_PERMERROR;
}

static enum spf_result redirect(
	struct checking *k, const struct spf_record *record, bool included)
{
	if (!str_present(record->redirect))
		return SPF_NEUTRAL;
	if (!count_lookup(k))
		return k->error;
	struct str domain =
		spf_expand_domain(record->redirect, &k->macros, k->a);
	enum spf_result r = check_domain(k, domain, included);
	if (r == SPF_NONE) {
		k->v->why = arena_printf(k->a, "redirect=%.*s: no record there",
			STR_ARG(record->redirect));
		return SPF_PERMERROR;
	}
	return r;
}

static enum spf_result check_domain(
	struct checking *k, struct str domain, bool included)
{
	struct spf_record record;
	struct str text = STR_NONE;

	if (!is_domain(domain))
		return SPF_NONE;
	if (k->depth >= DEPTH_MAX)
		return SPF_PERMERROR;
	enum spf_result found = find_record(k, domain, &text);
	if (found != SPF_PASS)
		return found;
	k->macros.domain = domain;
	if (!spf_record_parse(text, k->a, &record, &k->v->why))
		return SPF_PERMERROR;
	k->depth++;
	for (size_t i = 0; i < record.n; i++) {
		const struct spf_term *t = &record.v[i];
		bool match = matches(k, t);

		if (k->error != SPF_NONE)
			return k->error;
		if (!match)
			continue;
		k->depth--;
		k->v->mechanism = t->text;
		if (t->qualifier == SPF_FAIL && !included)
			explain(k, &record);
		return t->qualifier;
	}
	enum spf_result r = redirect(k, &record, included);
	k->depth--;
	return r;
}

static void take_address(struct checking *k)
{
	static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
	bool four = k->q->addr_len == 16 &&
		    memcmp(k->q->addr, mapped, sizeof(mapped)) == 0;

	k->addr_len = four ? 4 : k->q->addr_len;
	memcpy(k->addr, k->q->addr + (four ? 12 : 0), k->addr_len);
}

struct spf_verdict spf_check(const struct spf_query *q, struct arena *a)
{
	struct spf_verdict v = {0};
	struct checking k = {.q = q, .a = a, .v = &v};
	struct str local, domain, sender = q->sender;

	if (sender.len == 0)
		sender = arena_printf(a, "postmaster@%.*s", STR_ARG(q->helo));
	smtp_address_split(sender, &local, &domain);
	if (local.len == 0) {
		local = STR("postmaster");
		sender = arena_printf(a, "postmaster@%.*s", STR_ARG(domain));
	}
	take_address(&k);
	/* RFC 8616 4: macros and names hold A-labels. */
	struct str ascii = resolver_ascii(domain, a);
	if (str_present(ascii))
		domain = ascii;
	if (str_ends(domain, "."))
		domain.len--;
	k.macros = (struct spf_macros){.sender = sender,
		.local = local,
		.sender_domain = domain,
		.domain = domain,
		.addr = k.addr,
		.addr_len = k.addr_len,
		.helo = q->helo,
		.receiver = q->receiver,
		.now = q->now,
		.validated = validated,
		.ctx = &k};
	v.domain = domain;
	v.result = check_domain(&k, domain, false);
	return v;
}
