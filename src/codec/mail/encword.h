/* SPDX-License-Identifier: ISC */
#ifndef CODEC_MAIL_ENCWORD_H
#define CODEC_MAIL_ENCWORD_H

/*
 * Encoded words in header text, RFC 2047.  Decoding knows UTF-8, US-ASCII,
 * ISO-8859-1 and Windows-1252; a word in another charset or a broken one is
 * left as it stands.  Pure.
 */

#include "base/arena.h"
#include "base/buf.h"

/* Unfolds and decodes; the result is UTF-8 where the input was sound. */
struct str encword_decode(struct str value, struct arena *a);

/*
 * Puts UTF-8 text as header text: ASCII as it is, the rest as encoded words
 * of at most 75 characters, folded.  column: characters on the line so far.
 */
void encword_put(struct str text, size_t column, struct buf *out);

/* Appends bytes of the charset as UTF-8; false for an unknown charset. */
bool charset_to_utf8(struct str charset, struct str in, struct buf *out);

#endif
