/* SPDX-License-Identifier: ISC */
#include "policy/arc_seal.h"

#include "codec/mail/authres.h"
#include "codec/mail/base64.h"

enum { FIELDS_MAX = 256 * 1024 };

struct sealing {
	const struct arc_seal_request *q;
	struct arena *a;
	struct str head, body;
	struct arc_chain chain; /* with the new set at its end */
	bool chain_ok; /* it could be read */
	enum arc_cv cv;
	unsigned i;
};

/* What we wrote at the door, in one: "id; spf=pass ...; dkim=pass ..." */
static struct str merged_results(const struct sealing *g)
{
	struct str out = STR(""), rest = g->head;
	struct mail_field f;

	while (mail_field_next(&rest, &f)) {
		if (!str_ieqc(f.name, "Authentication-Results") ||
			!authres_claims(f.value, g->q->authserv_id))
			continue;
		struct str value = f.value;
		if (out.len > 0) {
			str_cut(&value, ';');
			value = str_trim(value);
		}
		if (!str_present(value))
			continue;
		out = out.len == 0 ? value
				   : arena_printf(g->a, "%.*s;\r\n\t%.*s",
					     STR_ARG(out), STR_ARG(value));
	}
	return out;
}

/* The state of the chain as we found it when the message came: what stands in
 * our own results, not what could be found out now. */
static enum arc_cv state_of_chain(const struct sealing *g, struct str results)
{
	if (g->chain_ok && g->chain.n == 0)
		return ARC_CV_NONE;
	return g->chain_ok && str_ieqc(authres_find(results, "arc"), "pass")
		       ? ARC_CV_PASS
		       : ARC_CV_FAIL;
}

/* The highest number in a chain that cannot be read. */
static unsigned highest_instance(const struct sealing *g)
{
	for (unsigned i = ARC_SETS_MAX; i > 0; i--) {
		const struct arc_set *s = &g->chain.v[i - 1];

		if (str_present(s->results.whole) ||
			str_present(s->signature.whole) ||
			str_present(s->seal.whole))
			return i;
	}
	return 0;
}

static struct mail_field make_field(
	struct arena *a, const char *name, struct str value)
{
	struct str whole =
		arena_printf(a, "%s: %.*s\r\n", name, STR_ARG(value));

	return (struct mail_field){
		.name = str_from(name), .value = value, .whole = whole};
}

/* Signs text behind which the field stands with an empty b=, then writes the
 * field with it.  Tags in the order of the alphabet; b= in one line, as the
 * public suite has it in what a seal covers. */
static struct mail_field sign_field(const struct sealing *g, const char *name,
	struct str tags, struct buf *text)
{
	struct str a_tag = signature_is_ed25519(g->q->key)
				   ? STR("a=ed25519-sha256;\r\n\tb=")
				   : STR("a=rsa-sha256;\r\n\tb=");
	struct mail_field bare =
		make_field(g->a, name, arena_concat(g->a, a_tag, tags));
	struct str none = str_sub(bare.whole, str_from(name).len + 2, 0);

	dkim_canon_own(DKIM_RELAXED, &bare, none, text);
	struct str b = base64_encode_a(
		signature_make(g->q->key, buf_str(text), g->a), g->a);
	return make_field(g->a, name,
		arena_concat(g->a, arena_concat(g->a, a_tag, b), tags));
}

static struct strs signed_names(const struct sealing *g)
{
	struct strs names = {0};

	for (size_t i = 0; i < g->q->headers->n; i++) {
		struct str name = g->q->headers->v[i];
		size_t n = mail_field_count(g->head, arena_cstr(g->a, name));

		for (size_t k = 0; k < n && names.n < 200; k++)
			strs_add(&names, g->a, name);
	}
	return names;
}

static struct mail_field message_signature(const struct sealing *g)
{
	struct buf text CLEANUP(buf_fini), tags CLEANUP(buf_fini);
	struct strs names = signed_names(g);
	unsigned char sum[SHA256_BYTES];
	struct sha256 h;

	buf_init(&text, g->head.len * 2 + 65536);
	buf_init(&tags, 65536);
	sha256_init(&h);
	dkim_canon_body(DKIM_RELAXED, g->body, UINT64_MAX, sha256_put, &h);
	sha256_done(&h, sum);
	buf_putf(&tags, ";\r\n\tbh=%.*s; c=relaxed/relaxed;\r\n\td=%.*s; h=",
		STR_ARG(base64_encode_a(str_of(sum, sizeof(sum)), g->a)),
		STR_ARG(g->q->domain));
	for (size_t i = 0; i < names.n; i++)
		buf_putf(&tags, "%s%s%.*s", i > 0 ? ":" : "",
			i % 8 == 7 ? "\r\n\t" : "", STR_ARG(names.v[i]));
	buf_putf(&tags, ";\r\n\ti=%u; s=%.*s; t=%lld", g->i,
		STR_ARG(g->q->selector), (long long)g->q->now);
	dkim_canon_head(DKIM_RELAXED, g->head, &names, g->a, &text);
	return sign_field(g, "ARC-Message-Signature", buf_str(&tags), &text);
}

static struct mail_field seal_all(struct sealing *g, struct arc_set *own)
{
	struct buf text CLEANUP(buf_fini);
	struct str tags =
		arena_printf(g->a, "; cv=%s; d=%.*s; i=%u; s=%.*s;\r\n\tt=%lld",
			arc_cv_name(g->cv), STR_ARG(g->q->domain), g->i,
			STR_ARG(g->q->selector), (long long)g->q->now);

	buf_init(&text, 1 << 24);
	/* 5.1.2: of a chain that is broken only the own set is sealed. */
	for (unsigned i = 1; g->cv == ARC_CV_PASS && i < g->i; i++) {
		const struct arc_set *s = &g->chain.v[i - 1];

		dkim_canon_field(DKIM_RELAXED, &s->results, &text);
		dkim_canon_field(DKIM_RELAXED, &s->signature, &text);
		dkim_canon_field(DKIM_RELAXED, &s->seal, &text);
	}
	dkim_canon_field(DKIM_RELAXED, &own->results, &text);
	dkim_canon_field(DKIM_RELAXED, &own->signature, &text);
	return sign_field(g, "ARC-Seal", tags, &text);
}

struct str arc_seal(
	const struct arc_seal_request *q, struct arena *a, const char **why_r)
{
	struct sealing g = {.q = q, .a = a};
	struct arc_set own = {0};
	const char *ignored;

	mail_split(q->message, &g.head, &g.body);
	struct str results = merged_results(&g);
	*why_r = "nothing was written down when it came";
	if (results.len == 0)
		return STR("");
	g.chain_ok = arc_chain_parse(g.head, a, &g.chain, &ignored);
	g.cv = state_of_chain(&g, results);
	unsigned n = highest_instance(&g);
	*why_r = "its ARC chain is broken or full";
	if (n >= ARC_SETS_MAX || (n > 0 && g.chain.v[n - 1].cv == ARC_CV_FAIL))
		return STR("");
	g.i = n + 1;
	own.results = make_field(a, "ARC-Authentication-Results",
		arena_printf(a, "i=%u; %.*s", g.i, STR_ARG(results)));
	own.signature = message_signature(&g);
	own.seal = seal_all(&g, &own);
	*why_r = NULL;
	return arena_printf(a, "%.*s%.*s%.*s", STR_ARG(own.seal.whole),
		STR_ARG(own.signature.whole), STR_ARG(own.results.whole));
}
