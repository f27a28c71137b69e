/* SPDX-License-Identifier: ISC */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

/* UTF-8 by RFC 3629: no overlong forms, no surrogates, at most U+10FFFF. */

#include "base/str.h"

/*
 * Decodes one character at the front of s.  Returns its length in bytes
 * (1..4) or 0 when s is empty or broken there.
 */
size_t utf8_decode(struct str s, uint32_t *char_r);
/* Writes the character into out (4 bytes); returns the bytes written. */
size_t utf8_encode(uint32_t c, char out[4]);
bool utf8_valid(struct str s);
bool utf8_is_ascii(struct str s);

#endif
