/* SPDX-License-Identifier: ISC */
#include "codec/mail/arc.h"

#include "base/attr.h"

static const char *const cvs[] = {"none", "pass", "fail"};

const char *arc_cv_name(enum arc_cv cv)
{
	return cvs[cv];
}

static bool parse_instance(struct str text, unsigned *i_r)
{
	uint64_t i;

	if (text.len == 0 || text.len > 2 || !str_u64(text, &i) || i < 1 ||
		i > ARC_SETS_MAX)
		return false;
	*i_r = (unsigned)i;
	return true;
}

/* "i=1; authserv-id; ..." */
static bool results_instance(
	const struct mail_field *f, unsigned *i_r, struct str *said_r)
{
	struct str rest = f->value, first = str_cut(&rest, ';');
	struct str name = str_trim(str_cut(&first, '='));

	if (!str_present(rest) || !str_eqc(name, "i") ||
		!parse_instance(str_trim(first), i_r))
		return false;
	*said_r = str_trim(rest);
	return true;
}

static bool tags_instance(
	const struct mail_field *f, struct arena *a, unsigned *i_r)
{
	struct dkim_tags tags;

	return dkim_tags_parse(f->value, a, &tags) &&
	       parse_instance(dkim_tag_value(&tags, "i"), i_r);
}

static bool parse_seal(struct arc_set *s, struct arena *a, const char **why_r)
{
	struct dkim_tags tags;
	uint64_t t = 0;

	*why_r = "bad syntax of ARC-Seal";
	if (!dkim_tags_parse(s->seal.value, a, &tags))
		return false;
	struct str cv = dkim_tag_value(&tags, "cv");
	struct str at = dkim_tag_value(&tags, "t");
	bool known = false;

	s->as.domain = dkim_tag_value(&tags, "d");
	s->as.selector = dkim_tag_value(&tags, "s");
	s->as.b_text = dkim_tag_value(&tags, "b");
	for (size_t i = 0; i < ARRAY_LEN(cvs); i++)
		if (str_ieqc(cv, cvs[i])) {
			s->cv = (enum arc_cv)i;
			known = true;
		}
	*why_r = "bad tags of ARC-Seal";
	return known && s->as.domain.len > 0 && s->as.selector.len > 0 &&
	       !str_present(dkim_tag_value(&tags, "h")) &&
	       (!str_present(at) || (at.len < 13 && str_u64(at, &t))) &&
	       dkim_algorithm_parse(
		       dkim_tag_value(&tags, "a"), &s->as.algorithm) &&
	       str_present(s->as.b_text) &&
	       dkim_base64(s->as.b_text, a, &s->as.signature);
}

static bool parse_signature(
	struct arc_set *s, struct arena *a, const char **why_r)
{
	if (!dkim_signature_parse_arc(s->signature.value, a, &s->ams, why_r))
		return false;
	/* 4.1.2: seals are not for it to sign. */
	*why_r = "ARC-Message-Signature covers ARC-Seal";
	for (size_t i = 0; i < s->ams.headers.n; i++)
		if (str_ieqc(s->ams.headers.v[i], "ARC-Seal"))
			return false;
	return true;
}

/* Puts the field where it belongs; false: there is one, or it has no number. */
static bool place(struct arc_chain *c, const struct mail_field *f,
	struct arena *a, bool *ours_r)
{
	bool aar = str_ieqc(f->name, "ARC-Authentication-Results");
	bool ams = str_ieqc(f->name, "ARC-Message-Signature");
	bool as = str_ieqc(f->name, "ARC-Seal");
	struct str said = STR_NONE;
	unsigned i = 0;

	*ours_r = aar || ams || as;
	if (!*ours_r)
		return true;
	if (!(aar ? results_instance(f, &i, &said) : tags_instance(f, a, &i)))
		return false;
	struct arc_set *s = &c->v[i - 1];
	struct mail_field *at = aar   ? &s->results
				: ams ? &s->signature
				      : &s->seal;
	if (str_present(at->whole))
		return false;
	*at = *f;
	if (aar)
		s->said = said;
	if (i > c->n)
		c->n = i;
	return true;
}

bool arc_chain_parse(struct str head, struct arena *a,
	struct arc_chain *chain_r, const char **why_r)
{
	struct mail_field f;
	bool ours;

	*chain_r = (struct arc_chain){
		.v = arena_alloc(a, ARC_SETS_MAX * sizeof(*chain_r->v))};
	for (struct str rest = head; mail_field_next(&rest, &f);)
		if (!place(chain_r, &f, a, &ours)) {
			*why_r = "an ARC field without a number, or twice";
			return false;
		}
	for (unsigned i = 0; i < chain_r->n; i++) {
		struct arc_set *s = &chain_r->v[i];

		*why_r = "an ARC set is not complete";
		if (!str_present(s->results.whole) ||
			!str_present(s->signature.whole) ||
			!str_present(s->seal.whole) ||
			!parse_seal(s, a, why_r) ||
			!parse_signature(s, a, why_r))
			return false;
	}
	*why_r = NULL;
	return true;
}

void arc_seal_text(const struct arc_chain *chain, unsigned from, unsigned to,
	struct buf *out)
{
	for (unsigned i = from; i <= to; i++) {
		const struct arc_set *s = &chain->v[i - 1];

		dkim_canon_field(DKIM_RELAXED, &s->results, out);
		dkim_canon_field(DKIM_RELAXED, &s->signature, out);
		if (i < to)
			dkim_canon_field(DKIM_RELAXED, &s->seal, out);
		else
			dkim_canon_own(
				DKIM_RELAXED, &s->seal, s->as.b_text, out);
	}
}
