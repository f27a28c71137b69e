/* SPDX-License-Identifier: ISC */
#include "policy/rewrite.h"

#include "base/buf.h"
#include "codec/mail/address.h"
#include "codec/mail/header.h"
#include "codec/postfix/lines.h"
#include "codec/smtp/path.h"

/* What an address is completed with. */
struct context {
	bool append_at, append_dot;
	struct str origin, domain;
};

/* postfix trivial-rewrite, in its order */
static struct str complete_in(const struct policy *p, const struct context *x,
	struct str address, struct arena *a)
{
	struct str local, domain;
	ptrdiff_t at;

	if (address.len == 0)
		return address;
	smtp_address_split(address, &local, &domain);
	if (!str_present(domain) && local.len > 0 && local.ptr[0] != '"') {
		if (p->c->swap_bangpath && (at = str_find(local, '!')) > 0) {
			domain = str_sub(local, 0, (size_t)at);
			local = str_from_at(local, (size_t)at + 1);
		} else if (p->c->allow_percent_hack &&
			   (at = str_rfind(local, '%')) > 0) {
			domain = str_from_at(local, (size_t)at + 1);
			local = str_sub(local, 0, (size_t)at);
		}
	}
	if (!str_present(domain)) {
		if (!x->append_at)
			return address;
		domain = x->origin;
	}
	if (domain.len > 0 && domain.ptr[0] != '[') {
		if (x->append_dot && str_find(domain, '.') < 0)
			domain = arena_join(a, domain, STR("."), x->domain);
		if (str_ends(domain, ".") && domain.len > 1)
			domain.len--;
	}
	return arena_join(a, local, STR("@"), domain);
}

struct str rewrite_trivial(
	const struct policy *p, struct str address, struct arena *a)
{
	const struct context local = {p->c->append_at_myorigin,
		p->c->append_dot_mydomain, p->c->myorigin, p->c->mydomain};

	return complete_in(p, &local, address, a);
}

bool rewrite_header_remote(const struct policy *p, struct str address,
	bool is_sender UNUSED, struct arena *a, struct str *out_r,
	struct fault *f UNUSED)
{
	struct str domain = p->c->remote_header_rewrite_domain;
	const struct context remote = {true, true, domain, domain};

	*out_r = complete_in(p, &remote, address, a);
	return true;
}

/* A map result: "@dom" keeps the user, a bare user gets @$myorigin, the
 * extension is carried over where wanted. */
static struct str complete(const struct policy *p, struct str value,
	struct str original, struct str ext, bool propagate, struct arena *a)
{
	struct str local, domain;

	smtp_address_split(original, &local, &domain);
	if (str_starts(value, "@"))
		return arena_concat(a, local, value);
	value = rewrite_trivial(p, value, a);
	if (!propagate || ext.len == 0)
		return value;
	smtp_address_split(value, &local, &domain);
	return arena_printf(a, "%.*s%.*s@%.*s", STR_ARG(local), STR_ARG(ext),
		STR_ARG(domain));
}

static bool map_once(const struct policy *p, struct maps *maps, bool propagate,
	struct str address, struct arena *a, struct str *out_r, bool *hit_r,
	struct fault *f)
{
	struct address_keys keys = policy_keys(p, address, a);
	struct str value, ext;

	*out_r = address;
	*hit_r = false;
	if (maps == NULL || address.len == 0)
		return true;
	enum table_result r =
		maps_lookup_address(maps, address, &keys, a, &value, &ext, f);
	if (r == TABLE_FOUND) {
		struct str first = list_item(&value);

		*hit_r = true;
		*out_r = complete(p, first, address, ext, propagate, a);
	}
	return r != TABLE_ERROR;
}

static bool propagates(const struct policy *p, const char *what)
{
	return conf_option_has(p->c->propagate_unmatched_extensions, what);
}

/* specific canonical map first, then the common one; each only in its class */
static bool canonical(const struct policy *p, const char *class,
	struct maps *specific, struct str specific_classes, struct str address,
	struct arena *a, struct str *out_r, struct fault *f)
{
	bool carry = propagates(p, "canonical");
	bool hit;

	*out_r = address;
	if (conf_option_has(specific_classes, class) &&
		!map_once(p, specific, carry, *out_r, a, out_r, &hit, f))
		return false;
	if (conf_option_has(p->c->canonical_classes, class) &&
		!map_once(p, p->canonical, carry, *out_r, a, out_r, &hit, f))
		return false;
	return true;
}

/* postconf(5) masquerade_domains: left to right, the first match stops */
static struct str masquerade(const struct policy *p, const char *class,
	struct str address, struct arena *a)
{
	struct str rest = p->c->masquerade_domains, item, local, domain;

	smtp_address_split(address, &local, &domain);
	if (rest.len == 0 || !str_present(domain) ||
		!conf_option_has(p->c->masquerade_classes, class) ||
		conf_option_has(
			p->c->masquerade_exceptions, arena_cstr(a, local)))
		return address;
	while (str_present(item = list_item(&rest))) {
		bool negated = str_starts(item, "!");

		item = str_from_at(item, negated ? 1 : 0);
		if (str_ieq(domain, item))
			return address;
		if (domain.len > item.len && str_iends(domain, item) &&
			domain.ptr[domain.len - item.len - 1] == '.')
			return negated ? address
				       : arena_printf(a, "%.*s@%.*s",
						 STR_ARG(local), STR_ARG(item));
	}
	return address;
}

bool rewrite_sender(const struct policy *p, struct str address, struct arena *a,
	struct str *out_r, struct fault *f)
{
	struct str out;

	*out_r = address;
	if (address.len == 0)
		return true;
	if (!canonical(p, "envelope_sender", p->sender_canonical,
		    p->c->sender_canonical_classes,
		    rewrite_trivial(p, address, a), a, &out, f))
		return false;
	*out_r = masquerade(p, "envelope_sender", out, a);
	return true;
}

bool rewrite_recipient(const struct policy *p, struct str address,
	struct arena *a, struct str *out_r, struct fault *f)
{
	struct str out;

	if (!canonical(p, "envelope_recipient", p->recipient_canonical,
		    p->c->recipient_canonical_classes,
		    rewrite_trivial(p, address, a), a, &out, f))
		return false;
	*out_r = masquerade(p, "envelope_recipient", out, a);
	return true;
}

bool rewrite_header_address(const struct policy *p, struct str address,
	bool is_sender, struct arena *a, struct str *out_r, struct fault *f)
{
	const char *class = is_sender ? "header_sender" : "header_recipient";
	struct str out;

	if (!canonical(p, class,
		    is_sender ? p->sender_canonical : p->recipient_canonical,
		    is_sender ? p->c->sender_canonical_classes
			      : p->c->recipient_canonical_classes,
		    rewrite_trivial(p, address, a), a, &out, f))
		return false;
	*out_r = masquerade(p, class, out, a);
	return true;
}

bool rewrite_generic(const struct policy *p, struct str address,
	struct arena *a, struct str *out_r, struct fault *f)
{
	bool hit;

	return map_once(p, p->generic, propagates(p, "generic"), address, a,
		out_r, &hit, f);
}

bool rewrite_header_generic(const struct policy *p, struct str address,
	bool is_sender UNUSED, struct arena *a, struct str *out_r,
	struct fault *f)
{
	return rewrite_generic(p, address, a, out_r, f);
}

/* ---- virtual aliases ---- */

struct expansion {
	const struct policy *p;
	struct arena *a;
	struct strs *out;
	struct fault *f;
	int64_t left;
};

static bool add_once(struct expansion *x, struct str address)
{
	if (strs_has(x->out, address))
		return true;
	if (x->left-- <= 0)
		return fault_set(x->f, FAULT_TEMP, 451, 4, 6,
			"virtual alias expansion: more than %lld addresses",
			(long long)x->p->c->virtual_alias_expansion_limit);
	strs_add(x->out, x->a, address);
	return true;
}

static bool expand_virtual(
	struct expansion *x, struct str address, int64_t depth)
{
	struct address_keys keys = policy_keys(x->p, address, x->a);
	struct str value, ext, item;

	if (depth > x->p->c->virtual_alias_recursion_limit)
		return fault_set(x->f, FAULT_TEMP, 451, 4, 6,
			"virtual aliases nest too deep at %.*s",
			STR_ARG(address));
	enum table_result r = maps_lookup_address(
		x->p->virtual_alias, address, &keys, x->a, &value, &ext, x->f);
	if (r == TABLE_ERROR)
		return false;
	if (r == TABLE_NONE)
		return add_once(x, address);
	while (str_present(item = list_item(&value))) {
		struct str next = complete(x->p, item, address, ext,
			propagates(x->p, "virtual"), x->a);
		int64_t limit = x->p->c->virtual_alias_address_length_limit;

		if ((int64_t)next.len > limit)
			return fault_set(x->f, FAULT_TEMP, 451, 4, 6,
				"virtual alias expansion: more than %lld bytes "
				"in one address",
				(long long)limit);

		/* An address that stands for itself ends the recursion. */
		if (str_ieq(next, address)
				? !add_once(x, next)
				: !expand_virtual(x, next, depth + 1))
			return false;
	}
	return true;
}

bool rewrite_virtual(const struct policy *p, struct str address,
	struct arena *a, struct strs *out, struct fault *f)
{
	struct expansion x = {
		p, a, out, f, p->c->virtual_alias_expansion_limit};

	if (p->virtual_alias == NULL) {
		if (!strs_has(out, address))
			strs_add(out, a, address);
		return true;
	}
	return expand_virtual(&x, address, 0);
}

/* ---- headers ---- */

enum field_role { ROLE_OTHER, ROLE_SENDER, ROLE_RECIPIENT };

static enum field_role role_of(struct str name)
{
	static const char *const senders[] = {"from", "sender", "reply-to",
		"errors-to", "return-receipt-to",
		"disposition-notification-to"};
	static const char *const recipients[] = {
		"to", "cc", "bcc", "apparently-to"};

	if (str_istarts(name, "resent-"))
		name = str_from_at(name, 7);
	for (size_t i = 0; i < ARRAY_LEN(senders); i++)
		if (str_ieqc(name, senders[i]))
			return ROLE_SENDER;
	for (size_t i = 0; i < ARRAY_LEN(recipients); i++)
		if (str_ieqc(name, recipients[i]))
			return ROLE_RECIPIENT;
	return ROLE_OTHER;
}

bool rewrite_head_wanted(const struct policy *p)
{
	return p->canonical != NULL || p->sender_canonical != NULL ||
	       p->recipient_canonical != NULL ||
	       p->c->masquerade_domains.len > 0 || p->c->append_at_myorigin ||
	       p->c->append_dot_mydomain;
}

static bool rewrite_field(const struct policy *p,
	const struct mail_field *field, bool is_sender, rewrite_address_f *fn,
	struct arena *a, struct buf *out, struct fault *f)
{
	struct mail_address_list list = {0};
	const char *at = field->whole.ptr;

	if (field->whole.len > (size_t)p->c->header_size_limit) {
		buf_put(out, field->whole);
		return true;
	}
	if (!mail_address_parse(field->value,
		    (size_t)p->c->header_address_token_limit, a, &list)) {
		buf_put(out, field->whole);
		return true;
	}
	for (size_t i = 0; i < list.n; i++) {
		const struct mail_address *m = &list.v[i];
		struct str fresh;

		/* Only what is an addr-spec byte for byte is touched. */
		if (m->kind != MAIL_MAILBOX || m->spec.len == 0 ||
			str_find(m->spec, ' ') >= 0 ||
			str_find(m->spec, '"') >= 0 ||
			str_find(m->spec, '(') >= 0)
			continue;
		if (!fn(p, m->spec, is_sender, a, &fresh, f))
			return false;
		if (str_eq(fresh, m->spec))
			continue;
		buf_put_mem(out, at, (size_t)(m->spec.ptr - at));
		buf_put(out, fresh);
		at = m->spec.ptr + m->spec.len;
	}
	const char *end = field->whole.ptr + field->whole.len;
	buf_put_mem(out, at, (size_t)(end - at));
	return true;
}

bool rewrite_head(const struct policy *p, struct str head,
	rewrite_address_f *fn, struct arena *a, struct buf *out,
	struct fault *f)
{
	struct mail_field field;

	while (mail_field_next(&head, &field)) {
		enum field_role role = role_of(field.name);

		if (role == ROLE_OTHER)
			buf_put(out, field.whole);
		else if (!rewrite_field(
				 p, &field, role == ROLE_SENDER, fn, a, out, f))
			return false;
	}
	return true;
}
