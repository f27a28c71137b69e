/* SPDX-License-Identifier: ISC */
/*
 * BODY=BINARYMIME, RFC 3030 3: what came in as raw octets leaves this file as
 * a message of lines.  Neither mailboxes nor most servers take NUL bytes and
 * lines without an end; one conversion here spares each of them its own.
 */
#include <unistd.h>

#include "codec/mail/downgrade.h"
#include "role/smtpd/smtpd.h"
#include "sys/file.h"

struct output {
	int fd;
	uint64_t size;
	char last;
	struct fault *fault;
};

static bool put(struct str piece, void *ctx)
{
	struct output *o = ctx;

	o->size += piece.len;
	o->last = piece.ptr[piece.len - 1];
	return file_write(o->fd, piece, o->fault);
}

bool smtpd_convert_binary(
	struct session *s, int *fd, uint64_t *size, struct fault *f)
{
	struct file_map map CLEANUP(file_unmap) = {0};
	struct output o = {.fault = f};

	if ((s->tx.mail.flags & SMTP_MAIL_BINARY) == 0)
		return true;
	struct str dir = arena_printf(
		s->cmd_a, "%.*s/tmp", STR_ARG(s->sv->c->queue_directory));
	int fresh CLEANUP(fd_close) = file_tmp(dir.ptr, f);
	if (fresh < 0 || !file_map_fd(*fd, &map, f))
		return false;
	o.fd = fresh;
	switch (mail_downgrade(
		map.bytes, DOWNGRADE_TO_8BIT, s->tx_a, put, &o)) {
	case DOWNGRADE_OK:
		break;
	case DOWNGRADE_STOPPED:
		return false;
	case DOWNGRADE_IMPOSSIBLE:
		return fault_set(f, FAULT_PERM, 554, 6, 3,
			"the binary parts of this message cannot be encoded");
	}
	if (o.last != '\n' && !put(STR("\r\n"), &o))
		return false;
	lseek(fresh, 0, SEEK_SET);
	close(*fd);
	*fd = fresh;
	*size = o.size;
	fresh = -1;
	return true;
}
