/* SPDX-License-Identifier: ISC */
#ifndef CODEC_POSTFIX_CHARACTERS_H
#define CODEC_POSTFIX_CHARACTERS_H

/* characters: a set of octets, as message_reject_characters writes it: "\0\r",
 * with the escapes of C: \a \b \f \n \r \t \v \\ and up to three octal digits.
 */

#include "base/arena.h"

struct characters {
	bool any;
	bool has[256];
};

/* False: an escape that is none. */
bool characters_parse(struct str text, struct characters *set_r);

/* A copy in which what is not of the set is that character. */
struct str characters_only(const struct characters *set, struct str s,
	char instead, struct arena *a);

/* The first of the set in s from at on; s.len where there is none. */
size_t characters_find(const struct characters *set, struct str s, size_t at);

#endif
