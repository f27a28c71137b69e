/* SPDX-License-Identifier: ISC */
#include "codec/mail/dkim.h"

#include <string.h>

#include "base/attr.h"
#include "codec/mail/base64.h"
#include "codec/smtp/path.h"

enum { TAGS_MAX = 64, HEADERS_MAX = 500 };

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* ---- tag lists: 3.2 ---- */

static bool is_tag_name(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!ascii_is_alnum(s.ptr[i]) && s.ptr[i] != '_')
			return false;
	return s.len > 0 && ascii_is_alpha(s.ptr[0]);
}

static bool is_tag_value(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];

		if ((c < 0x21 || c == 0x7f) && !is_blank(s.ptr[i]))
			return false;
	}
	return true;
}

struct str dkim_tag_value(const struct dkim_tags *tags, const char *name)
{
	for (size_t i = 0; i < tags->n; i++)
		if (str_eqc(tags->v[i].name, name))
			return tags->v[i].value;
	return STR_NONE;
}

bool dkim_tags_parse(struct str text, struct arena *a, struct dkim_tags *tags_r)
{
	*tags_r = (struct dkim_tags){
		.v = arena_alloc(a, TAGS_MAX * sizeof(*tags_r->v))};
	while (str_present(text)) {
		struct str value = str_trim(str_cut(&text, ';'));

		if (value.len == 0 && !str_present(text))
			break; /* a semicolon at the end */
		struct str name = str_trim(str_cut(&value, '='));
		value = str_trim(value);
		if (!is_tag_name(name) || !str_present(value) ||
			!is_tag_value(value) || tags_r->n == TAGS_MAX)
			return false;
		for (size_t i = 0; i < tags_r->n; i++)
			if (str_eq(tags_r->v[i].name, name))
				return false;
		tags_r->v[tags_r->n++] = (struct dkim_tag){name, value};
	}
	return tags_r->n > 0;
}

bool dkim_base64(struct str text, struct arena *a, struct str *bytes_r)
{
	char *out = arena_alloc(a, text.len + 1);
	size_t n = 0;

	for (size_t i = 0; i < text.len; i++)
		if (!is_blank(text.ptr[i]))
			out[n++] = text.ptr[i];
	return base64_decode(str_of(out, n), a, bytes_r);
}

/* ---- DKIM-Signature: 3.5 ---- */

static const char *const algorithms[] = {
	"rsa-sha256", "ed25519-sha256", "rsa-sha1"};

const char *dkim_algorithm_name(enum dkim_algorithm a)
{
	return algorithms[a];
}

bool dkim_algorithm_parse(struct str text, enum dkim_algorithm *a_r)
{
	for (size_t i = 0; i < ARRAY_LEN(algorithms); i++)
		if (str_ieqc(text, algorithms[i])) {
			*a_r = (enum dkim_algorithm)i;
			return true;
		}
	return false;
}

static bool parse_canon_word(struct str word, enum dkim_canon *c_r)
{
	*c_r = str_ieqc(word, "relaxed") ? DKIM_RELAXED : DKIM_SIMPLE;
	return *c_r == DKIM_RELAXED || str_ieqc(word, "simple");
}

static bool parse_canon(struct str text, struct dkim_signature *s)
{
	struct str head = str_trim(str_cut(&text, '/'));

	s->head = s->body = DKIM_SIMPLE;
	return !str_present(head) ||
	       (parse_canon_word(head, &s->head) &&
		       (!str_present(text) ||
			       parse_canon_word(str_trim(text), &s->body)));
}

/* A list by colons with blanks around its items. */
static bool parse_headers(struct str text, struct arena *a, struct strs *list)
{
	while (str_present(text)) {
		struct str name = str_trim(str_cut(&text, ':'));

		if (name.len == 0 || list->n >= HEADERS_MAX)
			return false;
		for (size_t i = 0; i < name.len; i++)
			if (is_blank(name.ptr[i]))
				return false;
		strs_add(list, a, name);
	}
	return list->n > 0;
}

static bool lists(struct str text, const char *word)
{
	while (str_present(text))
		if (str_ieqc(str_trim(str_cut(&text, ':')), word))
			return true;
	return false;
}

static bool parse_time(struct str text, int64_t *t_r)
{
	uint64_t n = 0;

	*t_r = 0;
	if (!str_present(text))
		return true;
	if (text.len > 12 || !str_u64(text, &n))
		return false;
	*t_r = (int64_t)n;
	return true;
}

/* 3.5: i= is d= or below it */
static bool identity_fits(const struct dkim_signature *s)
{
	ptrdiff_t at = str_rfind(s->identity, '@');

	if (at < 0)
		return false;
	return smtp_domain_is_below(
		str_from_at(s->identity, (size_t)at + 1), s->domain);
}

static const char *fill_common(
	const struct dkim_tags *tags, struct arena *a, struct dkim_signature *s)
{
	struct str bh = dkim_tag_value(tags, "bh");
	struct str h = dkim_tag_value(tags, "h");
	struct str l = dkim_tag_value(tags, "l");

	if (!str_present(dkim_tag_value(tags, "a")) ||
		!str_present(s->b_text) || !str_present(bh) ||
		!str_present(h) || s->domain.len == 0 || s->selector.len == 0)
		return "a tag is missing";
	if (!dkim_algorithm_parse(dkim_tag_value(tags, "a"), &s->algorithm))
		return "unknown algorithm";
	if (!parse_canon(dkim_tag_value(tags, "c"), s))
		return "unknown canonicalisation";
	if (!dkim_base64(s->b_text, a, &s->signature) ||
		!dkim_base64(bh, a, &s->body_hash))
		return "bad base64";
	if (!parse_headers(h, a, &s->headers))
		return "bad h=";
	s->with_length = str_present(l);
	if (s->with_length && (l.len > 18 || !str_u64(l, &s->length)))
		return "bad l=";
	if (!parse_time(dkim_tag_value(tags, "t"), &s->signed_at) ||
		!parse_time(dkim_tag_value(tags, "x"), &s->expires) ||
		(s->expires > 0 && s->signed_at > s->expires))
		return "bad t= or x=";
	return NULL;
}

static bool parse_tags(struct str value, struct arena *a,
	struct dkim_tags *tags, struct dkim_signature *s_r)
{
	*s_r = (struct dkim_signature){0};
	if (!dkim_tags_parse(value, a, tags))
		return false;
	s_r->domain = dkim_tag_value(tags, "d");
	s_r->selector = dkim_tag_value(tags, "s");
	s_r->b_text = dkim_tag_value(tags, "b");
	return true;
}

bool dkim_signature_parse(struct str value, struct arena *a,
	struct dkim_signature *s_r, const char **why_r)
{
	struct dkim_tags tags;

	*why_r = "bad syntax";
	if (!parse_tags(value, a, &tags, s_r))
		return false;
	s_r->identity = dkim_tag_value(&tags, "i");
	if (!str_present(s_r->identity))
		s_r->identity = arena_printf(a, "@%.*s", STR_ARG(s_r->domain));
	struct str q = dkim_tag_value(&tags, "q");
	bool from = false;

	if (!str_eqc(dkim_tag_value(&tags, "v"), "1")) {
		*why_r = "v=1 is missing";
		return false;
	}
	*why_r = fill_common(&tags, a, s_r);
	if (*why_r != NULL)
		return false;
	for (size_t i = 0; i < s_r->headers.n; i++)
		from |= str_ieqc(s_r->headers.v[i], "From");
	*why_r = !from                                    ? "From is not signed"
		 : !identity_fits(s_r)                    ? "i= is not below d="
		 : str_present(q) && !lists(q, "dns/txt") ? "unknown q="
							  : NULL;
	return *why_r == NULL;
}

bool dkim_signature_parse_arc(struct str value, struct arena *a,
	struct dkim_signature *s_r, const char **why_r)
{
	struct dkim_tags tags;

	*why_r = "bad syntax";
	if (!parse_tags(value, a, &tags, s_r))
		return false;
	*why_r = str_present(dkim_tag_value(&tags, "v"))
			 ? "v= has no place here"
			 : fill_common(&tags, a, s_r);
	return *why_r == NULL;
}

/* ---- key records: 3.6.1 ---- */

bool dkim_key_parse(struct str text, struct arena *a, struct dkim_key *key_r,
	const char **why_r)
{
	struct dkim_tags tags;

	*key_r = (struct dkim_key){0};
	*why_r = "bad syntax of the key record";
	if (!dkim_tags_parse(text, a, &tags))
		return false;
	struct str v = dkim_tag_value(&tags, "v");
	struct str k = dkim_tag_value(&tags, "k");
	struct str p = dkim_tag_value(&tags, "p");
	struct str h = dkim_tag_value(&tags, "h");
	struct str s = dkim_tag_value(&tags, "s");
	struct str t = dkim_tag_value(&tags, "t");

	*why_r = "the key record is no DKIM1";
	if (str_present(v) &&
		(!str_eqc(v, "DKIM1") || !str_eqc(tags.v[0].name, "v")))
		return false;
	*why_r = "unknown key type";
	key_r->ed25519 = str_ieqc(k, "ed25519");
	if (str_present(k) && !key_r->ed25519 && !str_ieqc(k, "rsa"))
		return false;
	*why_r = "bad p= in the key record";
	if (!str_present(p) || !dkim_base64(p, a, &key_r->key))
		return false;
	key_r->sha256 = !str_present(h) || lists(h, "sha256");
	key_r->email = !str_present(s) || lists(s, "*") || lists(s, "email");
	key_r->strict = str_present(t) && lists(t, "s");
	key_r->testing = str_present(t) && lists(t, "y");
	return true;
}
