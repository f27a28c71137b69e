/* SPDX-License-Identifier: ISC */
#ifndef CODEC_MAIL_DKIM_H
#define CODEC_MAIL_DKIM_H

/*
 * dkim: signatures and keys as texts, and the canonical forms that are signed.
 *
 * RFC 6376 3.2 (tag lists), 3.4 (canonicalisation), 3.5 (DKIM-Signature),
 * 3.6.1 (key records); RFC 8463 (Ed25519).  Used by ARC too, RFC 8617 4.1.
 *
 * Pure; views point into the text.
 */

#include "base/arena.h"
#include "base/buf.h"
#include "codec/mail/header.h"

struct dkim_tag {
	struct str name, value; /* without blanks at the ends */
};
struct dkim_tags {
	struct dkim_tag *v;
	size_t n;
};
/* False for bad syntax and for a tag that stands twice. */
bool dkim_tags_parse(
	struct str text, struct arena *a, struct dkim_tags *tags_r);
struct str dkim_tag_value(const struct dkim_tags *tags, const char *name);
/* base64 with folds in it; false for anything else. */
bool dkim_base64(struct str text, struct arena *a, struct str *bytes_r);

enum dkim_canon { DKIM_SIMPLE, DKIM_RELAXED };
enum dkim_algorithm { DKIM_RSA_SHA256, DKIM_ED25519_SHA256, DKIM_RSA_SHA1 };
const char *dkim_algorithm_name(enum dkim_algorithm a);
bool dkim_algorithm_parse(struct str text, enum dkim_algorithm *a_r);

struct dkim_signature {
	enum dkim_algorithm algorithm;
	enum dkim_canon head, body;
	struct str domain, selector; /* d s */
	struct str identity; /* i, or "@d" */
	struct strs headers; /* h */
	struct str signature, body_hash; /* b bh, bytes */
	struct str b_text; /* b as it stands */
	bool with_length;
	uint64_t length; /* l */
	int64_t signed_at, expires; /* t x; 0: not said */
};
/* value: of a DKIM-Signature field, raw.  What can be read of domain,
 * selector and b_text is there even with false. */
bool dkim_signature_parse(struct str value, struct arena *a,
	struct dkim_signature *s_r, const char **why_r);
/* The same for ARC-Message-Signature, which has i= for a number. */
bool dkim_signature_parse_arc(struct str value, struct arena *a,
	struct dkim_signature *s_r, const char **why_r);

struct dkim_key {
	bool ed25519; /* else RSA */
	struct str key; /* p, bytes; empty: revoked */
	bool sha256; /* may be used with it */
	bool email; /* may be used for mail */
	bool strict; /* t=s: i= is exactly d= */
	bool testing; /* t=y */
};
bool dkim_key_parse(struct str text, struct arena *a, struct dkim_key *key_r,
	const char **why_r);

/* ---- canonical forms ---- */

typedef void dkim_put_f(const void *bytes, size_t len, void *ctx);

/* The body, piece by piece.  limit: bytes of the canonical form (l=). */
void dkim_canon_body(enum dkim_canon canon, struct str body, uint64_t limit,
	dkim_put_f *put, void *ctx);
/* Bytes of the whole canonical form. */
uint64_t dkim_body_length(enum dkim_canon canon, struct str body);
/* One field with its CRLF. */
void dkim_canon_field(
	enum dkim_canon canon, const struct mail_field *f, struct buf *out);
/* The fields that h= names, from the last one up: 5.4.2. */
void dkim_canon_head(enum dkim_canon canon, struct str head,
	const struct strs *names, struct arena *a, struct buf *out);
/* The signature's own field: b= empty, no CRLF: 3.7. */
void dkim_canon_own(enum dkim_canon canon, const struct mail_field *f,
	struct str b_text, struct buf *out);

#endif
