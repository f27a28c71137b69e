/* SPDX-License-Identifier: ISC */
/* What the sender has of each transport: tables, certificates and content
 * checks by main.cf, or by the -o of its line in master.cf. */
#include "net/tls.h"
#include "policy/content.h"
#include "policy/policy.h"
#include "role/sender/sender.h"

struct both_str {
	struct str a, b;
};

/* Do both begin TLS in the same way?  A context costs memory. */
static bool same_tls(const struct conf *a, const struct conf *b)
{
#define OF(name)                                                               \
	{                                                                      \
		a->name, b->name                                               \
	}
	const struct both_str all[] = {OF(smtp_tls_CAfile), OF(smtp_tls_CApath),
		OF(smtp_tls_trust_anchor_file), OF(smtp_tls_protocols),
		OF(smtp_tls_mandatory_protocols), OF(smtp_tls_ciphers),
		OF(smtp_tls_mandatory_ciphers), OF(smtp_tls_exclude_ciphers),
		OF(smtp_tls_mandatory_exclude_ciphers),
		OF(smtp_tls_chain_files), OF(smtp_tls_cert_file),
		OF(smtp_tls_key_file), OF(smtp_tls_eccert_file),
		OF(smtp_tls_eckey_file), OF(tls_high_cipherlist),
		OF(tls_medium_cipherlist), OF(tls_null_cipherlist),
		OF(tls_ssl_options), OF(tls_eecdh_auto_curves),
		OF(tls_ffdhe_auto_groups)};
#undef OF

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (!str_eq(all[i].a, all[i].b))
			return false;
	return a->tls_preempt_cipherlist == b->tls_preempt_cipherlist &&
	       a->tls_append_default_CA == b->tls_append_default_CA &&
	       a->smtp_tls_scert_verifydepth == b->smtp_tls_scert_verifydepth;
}

static SSL_CTX *client_ctx(
	const struct sender_transport *t, bool mandatory, struct fault *f)
{
	const struct conf *c = t->c;
	struct tls_trust trust = {c->smtp_tls_CAfile, c->smtp_tls_CApath,
		mandatory ? c->smtp_tls_mandatory_protocols
			  : c->smtp_tls_protocols,
		tls_options_smtp(c, mandatory), &t->own,
		c->smtp_tls_trust_anchor_file};

	return tls_client_ctx(&trust, f);
}

static void load_tls(struct role *r, struct sender_transport *t)
{
	const struct conf *c = t->c;
	const struct tls_pairs pairs = {c->smtp_tls_chain_files,
		c->smtp_tls_cert_file, c->smtp_tls_key_file,
		c->smtp_tls_eccert_file, c->smtp_tls_eckey_file};
	struct fault f;

	tls_pairs_paths(&pairs, r->a, &t->own);
	t->tls = client_ctx(t, false, &f);
	t->tls_mandatory = t->tls != NULL ? client_ctx(t, true, &f) : NULL;
	if (t->tls_mandatory == NULL)
		role_die(r, &f);
	role_may_read_dir(r, c->smtp_tls_CAfile);
	role_may_read(r, c->smtp_tls_CApath);
	for (size_t i = 0; i < t->own.n; i++)
		role_may_read_dir(r, str_from(t->own.v[i]));
}

static void share_tls(
	struct sender_transport *t, const struct sender_transport *other)
{
	t->own = other->own;
	t->tls = other->tls;
	t->tls_mandatory = other->tls_mandatory;
}

static void add(struct sender *s, const struct conf *c)
{
	struct role *r = s->role;
	struct problems ignored = {.a = r->a};
	const struct str lists[] = {c->smtp_generic_maps,
		c->smtp_sasl_password_maps, c->smtp_tls_policy_maps,
		c->smtp_header_checks, c->smtp_mime_header_checks,
		c->smtp_nested_header_checks, c->smtp_body_checks,
		c->smtp_reply_filter, c->smtp_discard_ehlo_keyword_address_maps,
		c->smtp_dns_reply_filter};
	struct sender_transport *t = &s->transports[s->n_transports++];

	t->c = c;
	struct maps *dns = maps_open(r->tables, c, "smtp_dns_reply_filter",
		c->smtp_dns_reply_filter, 0, &ignored);
	t->policy = policy_new(c, r->tables,
		resolver_filtered(r->resolver, dns, r->a), &ignored);
	t->content = content_checks_smtp(c, r->tables, &ignored);
	t->reply_filter = maps_open(r->tables, c, "smtp_reply_filter",
		c->smtp_reply_filter, 0, &ignored);
	t->ehlo_maps = maps_open(r->tables, c,
		"smtp_discard_ehlo_keyword_address_maps",
		c->smtp_discard_ehlo_keyword_address_maps, 0, &ignored);
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		role_may_read_tables(r, lists[i]);
	for (size_t i = 0; i + 1 < s->n_transports && t->tls == NULL; i++)
		if (same_tls(c, s->transports[i].c))
			share_tls(t, &s->transports[i]);
	if (t->tls == NULL)
		load_tls(r, t);
}

void sender_load_transports(struct sender *s)
{
	const struct services *all = s->role->services;

	s->transports = arena_alloc(
		s->role->a, (all->n_transports + 1) * sizeof(*s->transports));
	add(s, s->role->conf);
	for (size_t i = 0; i < all->n_transports; i++)
		if (str_eqc(all->transports[i].command, "smtp") ||
			str_eqc(all->transports[i].command, "lmtp"))
			add(s, all->transports[i].conf);
}

const struct sender_transport *sender_transport_of(
	const struct sender *s, const struct conf *c)
{
	for (size_t i = 0; i < s->n_transports; i++)
		if (s->transports[i].c == c)
			return &s->transports[i];
	return &s->transports[0];
}
