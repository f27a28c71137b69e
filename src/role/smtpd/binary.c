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

bool smtpd_convert_binary(struct session *s, struct text *text, struct fault *f)
{
	struct file_map map CLEANUP(file_unmap) = {0};
	uint64_t size;

	bool binary = (s->tx.mail.flags & SMTP_MAIL_BINARY) != 0;
	bool narrow = forced(s);
	if (!binary && !narrow)
		return true;
	struct str dir = arena_printf(
		s->cmd_a, "%.*s/tmp", STR_ARG(s->sv->c->queue_directory));
	int fresh CLEANUP(fd_close) = file_tmp(dir.ptr, f);
	if (fresh < 0 || !text_map(text, &map, f) ||
		!downgrade_to_file(map.bytes,
			narrow ? DOWNGRADE_TO_7BIT : DOWNGRADE_TO_8BIT, s->tx_a,
			fresh, &size, f))
		return false;
	s->tx.narrowed = narrow;
	text_fini(text);
	*text = text_file(fresh, size);
	fresh = -1;
	return true;
}
