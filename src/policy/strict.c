/* SPDX-License-Identifier: ISC */
#include "policy/strict.h"

#include "base/utf8.h"
#include "codec/mail/mime.h"

#define IN_HEADER STR("5.6.0 improper use of 8-bit data in message header")
#define IN_BODY STR("5.6.0 improper use of 8-bit data in message body")
#define ENCODED STR("5.6.0 invalid message/* or multipart/* encoding domain")
#define TOO_DEEP STR("5.6.0 MIME nesting exceeds safety limit")

struct strict {
	bool header, body, domain;
	int64_t depth; /* of multipart and message */
};

static struct strict of(const struct conf *c, bool utf8)
{
	return (struct strict){.header = !utf8 && (c->strict_7bit_headers ||
							  c->strict_8bitmime),
		.body = c->strict_8bitmime || c->strict_8bitmime_body,
		.domain = c->strict_mime_encoding_domain,
		.depth = c->mime_nesting_limit};
}

bool strict_wanted(const struct conf *c)
{
	struct strict s = of(c, false);

	/* What is deeper is one part for us. */
	return !c->disable_mime_input_processing &&
	       (s.header || s.body || s.domain || s.depth < MIME_DEPTH_MAX);
}

/* RFC 2045 6.2: what stands there as it is, and may have the eighth bit. */
static bool allows_8bit(const struct mime_part *part)
{
	return str_eqc(part->encoding, "8bit") ||
	       str_eqc(part->encoding, "binary");
}

/* RFC 2045 6.4: what has parts is not encoded itself. */
static bool is_encoded(const struct mime_part *part)
{
	return (str_eqc(part->content.type, "multipart") ||
		       str_eqc(part->content.type, "message")) &&
	       (str_eqc(part->encoding, "quoted-printable") ||
		       str_eqc(part->encoding, "base64"));
}

static struct str look(
	const struct strict *s, const struct mime_part *part, int64_t depth)
{
	if (s->header && !utf8_is_ascii(part->head))
		return IN_HEADER;
	if (s->domain && is_encoded(part))
		return ENCODED;
	if (part->child == NULL)
		return s->body && !allows_8bit(part) &&
				       !utf8_is_ascii(part->body)
			       ? IN_BODY
			       : STR_NONE;
	if (depth >= s->depth)
		return TOO_DEEP;
	for (const struct mime_part *i = part->child; i != NULL; i = i->next) {
		struct str why = look(s, i, depth + 1);

		if (str_present(why))
			return why;
	}
	return STR_NONE;
}

struct str strict_refusal(
	const struct conf *c, struct str message, bool utf8, struct arena *a)
{
	struct strict s = of(c, utf8);

	return look(&s, mime_parse(message, a), 0);
}
