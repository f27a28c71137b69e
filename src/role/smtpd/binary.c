/* SPDX-License-Identifier: ISC */
/*
 * BODY=BINARYMIME, RFC 3030 3: what came in as raw octets leaves this file as
 * a message of lines.  Neither mailboxes nor most servers take NUL bytes and
 * lines without an end; one conversion here spares each of them its own.
 */
#include "role/downgrade_file.h"
#include "role/smtpd/smtpd.h"

/* postconf(5) force_mime_input_conversion: filters see 7-bit text. */
static bool forced(const struct session *s)
{
	const struct conf *c = s->sv->c;

	return c->force_mime_input_conversion &&
	       !c->disable_mime_input_processing &&
	       s->tx.reception->spool.has_8bit &&
	       (s->tx.mail.flags & SMTP_MAIL_UTF8) == 0;
}

/* Whatever the client sent and said. */
static void is_7bit(struct session *s)
{
	struct spool *sp = &s->tx.reception->spool;

	sp->has_8bit = sp->says_8bit = false;
	s->tx.mail.flags &= ~(unsigned)SMTP_MAIL_8BIT;
}

static bool convert(struct session *s, struct text *text, enum downgrade_to to,
	struct fault *f)
{
	struct file_map map CLEANUP(file_unmap) = {0};
	uint64_t size;
	struct str dir = arena_printf(
		s->cmd_a, "%.*s/tmp", STR_ARG(s->sv->c->queue_directory));
	int fresh CLEANUP(fd_close) = file_tmp(dir.ptr, f);

	if (fresh < 0 || !text_map(text, &map, f) ||
		!downgrade_to_file(map.bytes, to, s->tx_a, fresh, &size, f))
		return false;
	text_fini(text);
	*text = text_file(fresh, size);
	fresh = -1;
	return true;
}

bool smtpd_convert_binary(struct session *s, struct text *text, struct fault *f)
{
	if (forced(s)) {
		if (convert(s, text, DOWNGRADE_TO_7BIT, f)) {
			is_7bit(s);
			return true;
		}
		/* What is signed, or has an 8-bit header, stays as it is. */
		if (f->class != FAULT_PERM)
			return false;
	}
	return (s->tx.mail.flags & SMTP_MAIL_BINARY) == 0 ||
	       convert(s, text, DOWNGRADE_TO_8BIT, f);
}
