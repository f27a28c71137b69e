/* SPDX-License-Identifier: ISC */
#ifndef CODEC_IMAP_STRUCTURE_H
#define CODEC_IMAP_STRUCTURE_H

/*
 * What FETCH says about a message, computed once from its bytes.
 *
 * RFC 9051 7.5.2 (ENVELOPE, BODY, BODYSTRUCTURE), RFC 3501 7.4.2
 *
 * Strings with quotes, CR, LF, NUL or 8 bits are sent as literals; an empty
 * one is "" and never {0} (some clients hang on it).  Pure.
 */

#include "base/buf.h"
#include "codec/mail/mime.h"

void imap_put_string(struct str s, struct buf *out); /* "" when empty */
void imap_put_nstring(struct str s, struct buf *out); /* NIL when absent */
/* Mailbox name, UTF-8 in, as astring in modified UTF-7. */
void imap_put_mailbox(struct str utf8, struct arena *a, struct buf *out);

/* A quoted string that may have UTF-8 in it (RFC 9051 4.3), else a literal. */
void imap_put_utf8(struct str s, struct buf *out);

void imap_put_envelope(struct str head, struct arena *a, struct buf *out);
/* extensions: BODYSTRUCTURE; without: BODY */
void imap_put_bodystructure(const struct mime_part *part, bool extensions,
	struct arena *a, struct buf *out);

#endif
