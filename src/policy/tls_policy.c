/* SPDX-License-Identifier: ISC */
#include "policy/tls_policy.h"

#include "codec/postfix/lines.h"

static const char *const names[] = {"none", "may", "encrypt", "fingerprint",
	"dane", "dane-only", "verify", "secure"};

const char *tls_level_name(enum tls_level level)
{
	return names[level];
}

bool tls_level_parse(struct str word, enum tls_level *level_r)
{
	/* postconf(5): nothing said is what the old parameters say. */
	if (word.len == 0) {
		*level_r = TLS_MAY;
		return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_ieqc(word, names[i])) {
			*level_r = (enum tls_level)i;
			return true;
		}
	return false;
}

/* "a:b:c" as a list that list_item reads. */
static struct str uncolon(struct str value, struct arena *a)
{
	char *out = arena_alloc(a, value.len + 1);

	for (size_t i = 0; i < value.len; i++)
		out[i] = value.ptr[i] == ':' ? ' ' : value.ptr[i];
	return str_of(out, value.len);
}

static struct str joined(struct str have, struct str more, struct arena *a)
{
	return have.len == 0 ? more
			     : arena_printf(a, "%.*s %.*s", STR_ARG(have),
				       STR_ARG(more));
}

static bool attribute(struct str name, struct str value, struct arena *a,
	struct tls_policy *p, const char **why_r)
{
	bool prints = p->level == TLS_FINGERPRINT;

	if (p->level < TLS_ENCRYPT && !str_ieqc(name, "protocols") &&
		!str_ieqc(name, "ciphers") && !str_ieqc(name, "exclude") &&
		!str_ieqc(name, "servername") &&
		!str_ieqc(name, "connection_reuse")) {
		*why_r = "this attribute needs level encrypt or above";
		return false;
	}
	if (value.len == 0) {
		*why_r = "an attribute without a value";
		return false;
	}
	if (str_ieqc(name, "match") && (prints || p->level >= TLS_VERIFY)) {
		/* A fingerprint has colons of its own: "|" separates. */
		p->match = joined(p->match,
			prints ? arena_str(a, value) : uncolon(value, a), a);
		return true;
	}
	if (str_ieqc(name, "match")) {
		*why_r = "match= needs level fingerprint, verify or secure";
		return false;
	}
	if (str_ieqc(name, "protocols"))
		p->protocols = uncolon(value, a);
	else if (str_ieqc(name, "ciphers"))
		p->ciphers = arena_str(a, value);
	else if (str_ieqc(name, "exclude"))
		p->exclude = uncolon(value, a);
	else if (str_ieqc(name, "servername"))
		p->servername = arena_str(a, value);
	else if (!str_ieqc(name, "connection_reuse")) {
		*why_r = "an attribute that is not known here";
		return false;
	}
	return true;
}

bool tls_policy_parse(struct str text, struct arena *a,
	struct tls_policy *policy_r, const char **why_r)
{
	struct tls_policy p = {0};
	struct str item = list_item(&text);

	if (!str_present(item) || item.len == 0 ||
		!tls_level_parse(item, &p.level)) {
		*why_r = "no TLS level: write none, may, encrypt, "
			 "fingerprint, dane, dane-only, verify or secure";
		return false;
	}
	while (str_present(item = list_item(&text))) {
		struct str name = str_cut(&item, '=');

		if (!attribute(name, str_present(item) ? item : STR(""), a, &p,
			    why_r))
			return false;
	}
	*policy_r = p;
	return true;
}

/* The next hop as it stands, then the domains above it. */
static enum table_result look_up(struct maps *maps, struct str nexthop,
	struct str domain, struct arena *a, struct str *value_r,
	struct fault *f)
{
	enum table_result r = maps_lookup(maps, nexthop, a, value_r, f);

	if (str_starts(nexthop, "["))
		return r;
	for (struct str d = domain; r == TABLE_NONE;) {
		ptrdiff_t dot =
			d.len > 0 ? str_find(str_from_at(d, 1), '.') : -1;

		if (dot < 0)
			break;
		d = str_from_at(d, (size_t)dot + 1);
		r = maps_lookup(maps, d, a, value_r, f);
	}
	return r;
}

bool tls_policy_of(const struct policy *p, const struct conf *c,
	struct str nexthop, struct str domain, struct arena *a,
	struct tls_policy *policy_r, struct fault *f)
{
	struct tls_policy t = {0};
	struct str value;
	const char *why;

	if (!tls_level_parse(c->smtp_tls_security_level, &t.level))
		return fault_set(f, FAULT_TEMP, 451, 7, 5,
			"smtp_tls_security_level: no such level");
	enum table_result r =
		look_up(p->tls_policy, nexthop, domain, a, &value, f);
	if (r == TABLE_ERROR)
		return false;
	if (r == TABLE_FOUND && !tls_policy_parse(value, a, &t, &why))
		return fault_set(f, FAULT_TEMP, 451, 7, 5,
			"smtp_tls_policy_maps: %.*s: %s", STR_ARG(nexthop),
			why);
	if (t.match.len == 0)
		t.match =
			t.level == TLS_FINGERPRINT
				? c->smtp_tls_fingerprint_cert_match
			: t.level == TLS_VERIFY ? c->smtp_tls_verify_cert_match
			: t.level == TLS_SECURE ? c->smtp_tls_secure_cert_match
						: STR("");
	t.listed = r == TABLE_FOUND;
	*policy_r = t;
	return true;
}
