/* SPDX-License-Identifier: ISC */
#ifndef CODEC_IMAP_URL_H
#define CODEC_IMAP_URL_H

/*
 * imap_url: the path of an IMAP URL as CATENATE uses it: a message of this
 * server, or a part of one.  RFC 5092 11, RFC 4469 3.  Pure.
 */

#include "base/arena.h"

struct imap_url {
	struct str mailbox; /* UTF-8; absent: relative to the selected one */
	uint32_t uidvalidity; /* 0: not given */
	uint32_t uid;
	struct str section; /* absent: all */
};

/* "/box;UIDVALIDITY=1/;UID=2/;SECTION=1.2", or from ";UID=" on; a URL of a
 * server ("imap://...") is refused. */
bool imap_url_parse(struct str text, struct arena *a, struct imap_url *url_r);

#endif
