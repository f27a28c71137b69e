/* SPDX-License-Identifier: ISC */
#ifndef CODEC_MAIL_ENCWORD_H
#define CODEC_MAIL_ENCWORD_H

/*
 * Encoded words in header text, RFC 2047.  A word in a charset that
 * charset.h does not know, or a broken one, is left as it stands.  Pure.
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
/* A display name: in quotes where it is ASCII, else as encoded words. */
void encword_put_phrase(struct str name, size_t column, struct buf *out);

#endif
