/* SPDX-License-Identifier: ISC */
#ifndef CODEC_MAIL_MBOX_H
#define CODEC_MAIL_MBOX_H

/*
 * mbox: many messages in one file.  RFC 4155 (application/mbox); "mboxrd"
 * quoting: a line of the message that is any number of ">" and "From " has one
 * ">" more in the file.  "mboxo" files, which quote "From " only, read as well.
 * What clients keep in the header: Status, X-Status, X-Keywords, X-UID,
 * X-IMAPbase (pine, mutt, Dovecot), X-Mozilla-Status and -Keys (Thunderbird).
 *
 * Pure.  Views point into the file.
 */

#include "base/arena.h"
#include "base/buf.h"
#include "codec/mail/marks.h"

struct mbox_message {
	struct str bytes; /* as in the file: quoted, LF or CRLF */
	bool dated;
	int64_t received; /* Unix seconds, of the "From " line */
};

/* Is it one? */
bool mbox_begins(struct str file);
/* The next message of *rest, which moves behind it; false at the end. */
bool mbox_next(struct str *rest, struct mbox_message *m_r);

struct mbox_status {
	struct marks marks;
	struct strs keywords; /* in the arena */
	uint32_t uid, uidvalidity; /* 0: not said */
	bool pseudo; /* no mail: where c-client keeps its numbers */
};
/* The message with CRLF, without quotes and without the fields that are read
 * into the status. */
void mbox_unpack(struct str bytes, struct arena *a, struct buf *out,
	struct mbox_status *status_r);

struct mbox_entry {
	struct str message; /* with CRLF */
	struct str sender; /* "" is MAILER-DAEMON */
	int64_t received;
	struct mbox_status status;
};
/* A message as it stands in an mboxrd file, with the blank line behind it. */
void mbox_pack(const struct mbox_entry *e, struct buf *out);

#endif
