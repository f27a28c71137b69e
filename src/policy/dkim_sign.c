/* SPDX-License-Identifier: ISC */
#include "policy/dkim_sign.h"

#include "base/must.h"
#include "codec/mail/address.h"
#include "codec/mail/base64.h"
#include "codec/mail/dkim.h"
#include "codec/postfix/lines.h"
#include "codec/smtp/path.h"
#include "policy/dkim_keyring.h"

enum { LINE = 72 };

struct dkim_signer {
	const struct conf *c;
	struct maps *table;
	struct strs headers, oversigned;
	struct arena *a;
	struct dkim_keyring *keyring;
};

/* What is oversigned is signed, whether the other list has it or not. */
static void add_oversigned(struct dkim_signer *s)
{
	for (size_t i = 0; i < s->oversigned.n; i++) {
		bool there = false;

		for (size_t k = 0; k < s->headers.n && !there; k++)
			there = str_ieq(s->headers.v[k], s->oversigned.v[i]);
		if (!there)
			strs_add(&s->headers, s->a, s->oversigned.v[i]);
	}
}

struct dkim_signer *dkim_signer_new(const struct conf *c, struct tables *tables,
	struct dkim_keyring *keyring, struct problems *problems)
{
	struct dkim_signer *s = must_alloc(sizeof(*s));

	*s = (struct dkim_signer){
		.c = c, .a = arena_new(SIZE_MAX), .keyring = keyring};
	s->table = maps_open(tables, c, "dkim_signing_table",
		c->dkim_signing_table, 0, problems);
	s->headers = list_items(c->dkim_sign_headers, s->a);
	s->oversigned = list_items(c->dkim_oversign_headers, s->a);
	add_oversigned(s);
	return s;
}

/* ---- whose name ---- */

/* The author: the first mailbox of the only From. */
static struct str author(struct str head, struct arena *a)
{
	struct mail_address_list list = {0};

	if (mail_field_count(head, "From") != 1)
		return STR_NONE;
	mail_address_parse(mail_field_value(head, "From"), 20, a, &list);
	for (size_t i = 0; i < list.n; i++)
		if (list.v[i].kind == MAIL_MAILBOX &&
			str_present(list.v[i].domain))
			return arena_printf(a, "%.*s@%.*s",
				STR_ARG(list.v[i].local),
				STR_ARG(arena_lower(a, list.v[i].domain)));
	return STR_NONE;
}

static bool are_related(struct str a, struct str b)
{
	return str_present(a) &&
	       (smtp_domain_is_below(a, b) || smtp_domain_is_below(b, a));
}

/* A user of one domain does not sign as another one: the login's own, or the
 * sender's where smtpd_sender_login_maps says who may be what. */
static bool may_sign(const struct dkim_signer *s, const struct dkim_request *q,
	struct str from)
{
	struct str of_login = smtp_address_domain(q->login);
	struct str of_sender = smtp_address_domain(q->sender);

	return !str_present(q->login) || !str_present(of_login) ||
	       are_related(of_login, from) ||
	       (s->c->smtpd_sender_login_maps.len > 0 &&
		       are_related(of_sender, from));
}

/* dkim_signing_table: a domain, or "none".  Absent: not in it. */
static bool ask_table(struct dkim_signer *s, struct str from, struct arena *a,
	struct str *domain_r, struct fault *f)
{
	static const struct address_keys keys = {.user_at = true};
	struct str ext;
	enum table_result r = s->table == NULL
				      ? TABLE_NONE
				      : maps_lookup_address(s->table, from,
						&keys, a, domain_r, &ext, f);

	if (r != TABLE_FOUND)
		*domain_r = STR_NONE;
	else
		*domain_r = arena_lower(a, str_trim(*domain_r));
	return r != TABLE_ERROR;
}

/* ---- the fields ---- */

static void put_folded(struct buf *out, size_t *column, struct str word)
{
	if (*column + word.len > LINE) {
		buf_puts(out, "\r\n\t");
		*column = 8;
	}
	buf_put(out, word);
	*column += word.len;
}

/* Each as often as it stands there, and once more where none may be added. */
static void choose_headers(struct dkim_signer *s, struct str head,
	struct arena *a, struct strs *names)
{
	for (size_t i = 0; i < s->headers.n; i++) {
		struct str name = s->headers.v[i];
		size_t n = mail_field_count(head, arena_cstr(a, name));

		for (size_t k = 0; k < n; k++)
			strs_add(names, a, name);
	}
	for (size_t i = 0; i < s->oversigned.n; i++)
		strs_add(names, a, s->oversigned.v[i]);
}

static bool has_signature(struct str head, struct str domain,
	struct str selector, struct arena *a)
{
	struct dkim_signature sig;
	struct mail_field f;
	const char *why;

	for (struct str rest = head; mail_field_next(&rest, &f);)
		if (str_ieqc(f.name, "DKIM-Signature") &&
			dkim_signature_parse(f.value, a, &sig, &why) &&
			str_ieq(sig.domain, domain) &&
			str_ieq(sig.selector, selector))
			return true;
	return false;
}

struct signing {
	struct dkim_signer *s;
	const struct dkim_request *q;
	struct arena *a;
	struct str domain;
	struct str head;
	struct strs names;
	struct buf canonical; /* of the header */
	struct str body_hash; /* base64 */
};

static void begin_field(
	struct signing *g, const struct dkim_key_file *k, struct buf *out)
{
	int64_t lifetime = g->s->c->dkim_signature_lifetime;
	size_t column = 0;

	buf_putf(out, "DKIM-Signature: v=1; a=%s-sha256; c=relaxed/relaxed;",
		signature_is_ed25519(k->key) ? "ed25519" : "rsa");
	buf_putf(out, "\r\n\td=%.*s; s=%.*s; t=%lld;", STR_ARG(g->domain),
		STR_ARG(k->selector), (long long)g->q->now);
	if (lifetime > 0)
		buf_putf(out, " x=%lld;", (long long)(g->q->now + lifetime));
	buf_puts(out, "\r\n\th=");
	column = 10;
	for (size_t i = 0; i < g->names.n; i++) {
		put_folded(out, &column, g->names.v[i]);
		put_folded(
			out, &column, i + 1 < g->names.n ? STR(":") : STR(";"));
	}
	buf_putf(out, "\r\n\tbh=%.*s;\r\n\tb=", STR_ARG(g->body_hash));
}

static void sign_with(
	struct signing *g, const struct dkim_key_file *k, struct buf *out)
{
	struct buf text CLEANUP(buf_fini);
	struct buf own CLEANUP(buf_fini);
	struct mail_field f = {.name = STR("DKIM-Signature")};
	size_t column = 10;

	buf_init(&text, g->canonical.len + 65536);
	buf_init(&own, 65536);
	begin_field(g, k, &own);
	f.whole = buf_str(&own);
	buf_put(&text, buf_str(&g->canonical));
	dkim_canon_own(
		DKIM_RELAXED, &f, str_from_at(f.whole, f.whole.len), &text);
	struct str b = base64_encode_a(
		signature_make(k->key, buf_str(&text), g->a), g->a);
	for (size_t at = 0; at < b.len; at += LINE - 10)
		put_folded(&own, &column, str_sub(b, at, LINE - 10));
	buf_puts(&own, "\r\n");
	buf_put(out, buf_str(&own));
}

static void hash_body(struct signing *g, struct str body)
{
	unsigned char sum[SHA256_BYTES];
	struct sha256 h;

	sha256_init(&h);
	dkim_canon_body(DKIM_RELAXED, body, UINT64_MAX, sha256_put, &h);
	sha256_done(&h, sum);
	g->body_hash = base64_encode_a(str_of(sum, sizeof(sum)), g->a);
}

static void write_fields(struct signing *g, const struct dkim_pen *p,
	struct str body, struct dkim_signed *signed_r)
{
	struct buf out CLEANUP(buf_fini);

	buf_init(&out, 1 << 20);
	buf_init(&g->canonical, g->head.len * 2 + 65536);
	choose_headers(g->s, g->head, g->a, &g->names);
	dkim_canon_head(DKIM_RELAXED, g->head, &g->names, g->a, &g->canonical);
	hash_body(g, body);
	for (size_t i = 0; i < p->n; i++) {
		if (has_signature(g->head, g->domain, p->v[i].selector, g->a))
			continue;
		sign_with(g, &p->v[i], &out);
		signed_r->selectors = arena_printf(g->a, "%.*s%s%.*s",
			STR_ARG(signed_r->selectors),
			signed_r->selectors.len > 0 ? "," : "",
			STR_ARG(p->v[i].selector));
	}
	buf_fini(&g->canonical);
	signed_r->fields = arena_str(g->a, buf_str(&out));
	if (signed_r->fields.len > 0)
		signed_r->domain = arena_str(g->a, g->domain);
}

bool dkim_sign(struct dkim_signer *s, const struct dkim_request *q,
	struct arena *a, struct dkim_signed *signed_r, struct fault *f)
{
	struct signing g = {.s = s, .q = q, .a = a};
	struct str body, listed, from;
	struct dkim_pen pen;

	*signed_r = (struct dkim_signed){.fields = STR("")};
	mail_split(q->message, &g.head, &body);
	from = author(g.head, a);
	if (!str_present(from))
		return true;
	if (!ask_table(s, from, a, &listed, f))
		return false;
	if (str_eqc(listed, "none"))
		return true;
	if (!dkim_keyring_find(s->keyring,
		    str_present(listed) ? listed : smtp_address_domain(from),
		    str_present(listed), a, &g.domain, &pen, f))
		return false;
	if (!str_present(g.domain)) {
		if (str_present(listed))
			signed_r->why_not = arena_printf(a,
				"%.*s, of dkim_signing_table, has no keys",
				STR_ARG(listed));
		return true;
	}
	if (!str_present(listed) && !may_sign(s, q, smtp_address_domain(from)))
		signed_r->why_not = arena_printf(a,
			"%.*s is not of %.*s, and no table says otherwise",
			STR_ARG(q->login), STR_ARG(g.domain));
	else if (pen.n > 0)
		write_fields(&g, &pen, body, signed_r);
	else
		signed_r->why_not = arena_printf(a,
			pen.waiting ? "the keys of %.*s are not in DNS yet"
				    : "%.*s has no key in use, only old ones",
			STR_ARG(g.domain));
	dkim_pen_put(&pen);
	return true;
}
