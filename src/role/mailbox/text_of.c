/* SPDX-License-Identifier: ISC */
#include "role/mailbox/text_of.h"

#include "base/buf.h"
#include "codec/mail/casemap.h"
#include "codec/mail/charset.h"
#include "codec/mail/encword.h"
#include "codec/mail/header.h"

enum { DECODED_MAX = 64 << 20 };

void text_of_headers(
	const struct mime_part *part, struct arena *a, struct buf *out)
{
	struct str head = part->head;
	struct mail_field field;

	casemap_put(head, out);
	buf_putc(out, '\n');
	while (mail_field_find(&head, &field)) {
		/* What has nothing to decode stands there already, but for
		 * folds. */
		if (str_isearch(field.value, STR("=?")) < 0 &&
			str_find(field.value, '\n') < 0)
			continue;
		casemap_put(encword_decode(field.value, a), out);
		buf_putc(out, '\n');
	}
	for (const struct mime_part *i = part->child; i != NULL; i = i->next)
		text_of_headers(i, a, out);
}

static void leaf(const struct mime_part *part, struct buf *out)
{
	struct buf decoded CLEANUP(buf_fini);
	struct buf utf8 CLEANUP(buf_fini);

	/* A picture in base64 holds many a word that nobody wrote. */
	if (!mime_is(part, "text", NULL) && !mime_is(part, "message", NULL) &&
		!mime_is(part, "multipart", NULL))
		return;
	buf_init(&decoded, DECODED_MAX);
	buf_init(&utf8, DECODED_MAX * 2);
	mime_decode_body(part, &decoded);
	if (charset_to_utf8(mime_param(&part->content, "charset"),
		    buf_str(&decoded), &utf8))
		casemap_put(buf_str(&utf8), out);
	else
		casemap_put(buf_str(&decoded), out);
	buf_putc(out, '\n');
}

void text_of_body(const struct mime_part *part, struct buf *out)
{
	if (part->child == NULL)
		leaf(part, out);
	for (const struct mime_part *i = part->child; i != NULL; i = i->next)
		text_of_body(i, out);
}
