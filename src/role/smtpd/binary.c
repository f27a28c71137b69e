/* SPDX-License-Identifier: ISC */
/*
 * BODY=BINARYMIME, RFC 3030 3: what came in as raw octets leaves this file as
 * a message of lines.  Neither mailboxes nor most servers take NUL bytes and
 * lines without an end; one conversion here spares each of them its own.
 */
#include "role/downgrade_file.h"
#include "role/smtpd/smtpd.h"

bool smtpd_convert_binary(struct session *s, struct text *text, struct fault *f)
{
	struct file_map map CLEANUP(file_unmap) = {0};
	uint64_t size;

	if ((s->tx.mail.flags & SMTP_MAIL_BINARY) == 0)
		return true;
	struct str dir = arena_printf(
		s->cmd_a, "%.*s/tmp", STR_ARG(s->sv->c->queue_directory));
	int fresh CLEANUP(fd_close) = file_tmp(dir.ptr, f);
	if (fresh < 0 || !text_map(text, &map, f) ||
		!downgrade_to_file(
			map.bytes, DOWNGRADE_TO_8BIT, s->tx_a, fresh, &size, f))
		return false;
	text_fini(text);
	*text = text_file(fresh, size);
	fresh = -1;
	return true;
}
