/* SPDX-License-Identifier: ISC */
#ifndef CODEC_MAIL_CHARSET_H
#define CODEC_MAIL_CHARSET_H

/*
 * Charsets of mail (RFC 2978) as UTF-8: those of Western Europe here, others
 * by iconv(3).  What is wrong in the input becomes U+FFFD.  Any thread.
 */

#include "base/buf.h"

/* Loads what iconv needs.  For roles that decode mail, before their sandbox:
 * without it, a charset whose module is not loaded is unknown there. */
void charset_prepare(void);

/* Appends bytes of the charset as UTF-8; false for an unknown charset. */
bool charset_to_utf8(struct str charset, struct str in, struct buf *out);

#endif
