/* SPDX-License-Identifier: ISC */
#ifndef CODEC_IMAP_UTF7_H
#define CODEC_IMAP_UTF7_H

/* Mailbox names in modified UTF-7, RFC 3501 5.1.3.  Pure. */

#include "base/arena.h"

/* To UTF-8; false for a broken or not canonical form. */
bool imap_utf7_decode(struct str name, struct arena *a, struct str *utf8_r);
struct str imap_utf7_encode(struct str utf8, struct arena *a);

#endif
