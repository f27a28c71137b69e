/* SPDX-License-Identifier: ISC */
#ifndef CODEC_MAIL_SPF_H
#define CODEC_MAIL_SPF_H

/*
 * spf: the text of an SPF record, and its macros.
 *
 * RFC 7208 4.6 (syntax), 5 (mechanisms), 6 (modifiers), 7 (macros)
 *
 * Pure; views point into the text.
 */

#include "base/arena.h"

enum spf_result {
	SPF_NONE,
	SPF_NEUTRAL,
	SPF_PASS,
	SPF_FAIL,
	SPF_SOFTFAIL,
	SPF_TEMPERROR,
	SPF_PERMERROR,
};
const char *spf_result_name(enum spf_result r);

enum spf_mechanism {
	SPF_ALL,
	SPF_INCLUDE,
	SPF_A,
	SPF_MX,
	SPF_PTR,
	SPF_IP4,
	SPF_IP6,
	SPF_EXISTS,
};

struct spf_term {
	enum spf_mechanism mechanism;
	enum spf_result qualifier; /* what it is when it matches */
	struct str text; /* the term as written */
	struct str domain; /* with macros; absent: the current one */
	unsigned char addr[16];
	unsigned prefix4, prefix6; /* bits */
};

struct spf_record {
	struct spf_term *v;
	size_t n;
	struct str redirect, exp; /* absent without */
};

/* Does a TXT record begin as one: 4.5? */
bool spf_is_record(struct str text);
/* False: permerror, *why_r is what is wrong. */
bool spf_record_parse(struct str text, struct arena *a,
	struct spf_record *record_r, struct str *why_r);

/* What macros stand for: 7.3. */
struct spf_macros {
	struct str sender, local, sender_domain; /* s l o */
	struct str domain; /* d */
	const unsigned char *addr; /* i c v */
	size_t addr_len;
	struct str helo; /* h */
	struct str receiver; /* r */
	int64_t now; /* t, Unix seconds */
	/* p, only asked for when it is used */
	struct str (*validated)(void *ctx);
	void *ctx;
};
/* Known to be well-formed from spf_record_parse.  A name that is too long
 * loses labels on the left. */
struct str spf_expand_domain(
	struct str spec, const struct spf_macros *m, struct arena *a);
/* Does it hold %{s} or %{l}? */
bool spf_uses_local_part(struct str spec);
/* A text of exp=: any text.  False when its syntax is wrong. */
bool spf_expand_text(struct str spec, const struct spf_macros *m,
	struct arena *a, struct str *text_r);

#endif
