/* SPDX-License-Identifier: ISC */
/*
 * BODY=BINARYMIME, RFC 3030 3: what came in as raw octets leaves this file as
 * a message of lines.  Neither mailboxes nor most servers take NUL bytes and
 * lines without an end; one conversion here spares each of them its own.
 */
#include <unistd.h>

#include "role/downgrade_file.h"
#include "role/smtpd/smtpd.h"
#include "sys/file.h"

bool smtpd_convert_binary(
	struct session *s, int *fd, uint64_t *size, struct fault *f)
{
	struct file_map map CLEANUP(file_unmap) = {0};

	if ((s->tx.mail.flags & SMTP_MAIL_BINARY) == 0)
		return true;
	struct str dir = arena_printf(
		s->cmd_a, "%.*s/tmp", STR_ARG(s->sv->c->queue_directory));
	int fresh CLEANUP(fd_close) = file_tmp(dir.ptr, f);
	if (fresh < 0 || !file_map_fd(*fd, &map, f) ||
		!downgrade_to_file(
			map.bytes, DOWNGRADE_TO_8BIT, s->tx_a, fresh, size, f))
		return false;
	close(*fd);
	*fd = fresh;
	fresh = -1;
	return true;
}
