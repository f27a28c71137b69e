/* SPDX-License-Identifier: ISC */
/* What a client is told that a DNS list knows: rbl_reply_maps,
 * default_rbl_reply. */
#include "codec/postfix/expand.h"
#include "codec/smtp/path.h"
#include "policy/restrict_private.h"

struct facts {
	struct check *c;
	const struct rbl_listing *l;
};

static struct str value_of(struct facts *x, struct str name)
{
	struct check *c = x->c;
	const struct rbl_listing *l = x->l;
	const struct {
		const char *name;
		struct str value;
	} all[] = {{"rbl_domain", l->list}, {"rbl_what", l->what},
		{"rbl_class", str_from(l->class)}, {"rbl_reason", l->why},
		{"rbl_txt", l->why}, {"client_address", c->client_text},
		{"client_name", c->client_name},
		{"reverse_client_name", c->reverse_name},
		{"helo_name", c->helo}, {"sender", c->sender},
		{"sender_domain", smtp_address_domain(c->sender)},
		{"recipient", c->recipient},
		{"recipient_domain", smtp_address_domain(c->recipient)},
		{"sasl_username", c->login}};

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (str_eqc(name, all[i].name))
			return str_present(all[i].value) ? all[i].value
							 : STR("");
	if (str_eqc(name, "rbl_code"))
		return arena_printf(c->a, "%lld",
			(long long)c->policy->c->maps_rbl_reject_code);
	if (str_eqc(name, "client"))
		return arena_printf(c->a, "%.*s[%.*s]", STR_ARG(c->client_name),
			STR_ARG(c->client_text));
	struct str value;
	const char *why;

	return conf_expand_name(c->policy->c, name, c->a, &value, &why)
		       ? value
		       : STR_NONE;
}

static struct str lookup(struct str name, void *ctx)
{
	struct facts *x = ctx;
	struct str value = value_of(x, name);

	if (!str_present(value))
		return value;
	return expand_plain(
		characters_only(&x->c->policy->expansion, value, '_', x->c->a),
		x->c->a);
}

/* "554 5.7.1 text" or "554 text"; a code that is none is ours. */
static void take(struct check *c, struct str text, struct decision *d)
{
	struct str rest = text;
	struct str word = str_cut(&rest, ' ');
	uint64_t code;

	d->code = (int)c->policy->c->maps_rbl_reject_code;
	if (word.len == 3 && str_u64(word, &code) && code >= 400 &&
		code < 600) {
		d->code = (int)code;
		text = str_trim(rest);
	}
	rest = text;
	word = str_cut(&rest, ' ');
	bool enhanced = word.len >= 5 && word.ptr[1] == '.' &&
			(word.ptr[0] == '4' || word.ptr[0] == '5');
	d->text = enhanced ? text
			   : arena_printf(c->a, "%c.7.1 %.*s",
				     d->code < 500 ? '4' : '5', STR_ARG(text));
}

enum outcome restrict_rbl_reply(
	struct check *c, const struct rbl_listing *l, struct decision *d)
{
	const struct policy *p = c->policy;
	struct facts facts = {c, l};
	struct str template = p->c->default_rbl_reply, text;
	const char *why;
	struct fault f;

	/* By the list as it was written, with its filter. */
	if (maps_lookup(p->rbl_reply, l->spec, c->a, &template, &f) ==
		TABLE_ERROR)
		return restrict_temp(c, d, &f);
	d->verdict = VERDICT_REJECT;
	if (!expand(template, lookup, &facts, c->a, &text, &why))
		text = arena_printf(c->a,
			"Service unavailable; blocked using %.*s",
			STR_ARG(l->list));
	take(c, text, d);
	return OUT_REJECT;
}
