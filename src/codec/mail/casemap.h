/* SPDX-License-Identifier: ISC */
#ifndef CODEC_MAIL_CASEMAP_H
#define CODEC_MAIL_CASEMAP_H

/*
 * casemap: text brought into a form in which case, width and composition do
 * not matter.  RFC 5051 (i;unicode-casemap), here with lower case for title
 * case: the same pairs of strings are equal.  Pure.
 */

#include "base/arena.h"
#include "base/buf.h"

/* UTF-8 in and out; what is no UTF-8 has its ASCII letters folded. */
struct str casemap(struct str s, struct arena *a);
void casemap_put(struct str s, struct buf *out);

/* Is the folded needle in the text, which is folded on the way? */
bool casemap_has(struct str text, struct str needle, struct buf *scratch);

#endif
