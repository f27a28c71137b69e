/* SPDX-License-Identifier: ISC */
#ifndef CODEC_POSTFIX_EXPAND_H
#define CODEC_POSTFIX_EXPAND_H

/*
 * The $name language of main.cf.
 *
 * postconf(5): $name ${name} $(name), ${name?text} ${name:text},
 * ${name?{text}:{text}}, ${{a} op {b} ? {text} : {text}}, $$.
 * Operators == != < <= >= > and each with the suffix "level".
 *
 * Pure: the values come from a function.
 */

#include "base/arena.h"

/* The unexpanded value of a name, or absent when nobody defined it. */
typedef struct str expand_lookup_f(struct str name, void *ctx);

enum { EXPAND_DEPTH_MAX = 100, EXPAND_BYTES_MAX = 1 << 20 };

/*
 * Expands text, recursively.  On failure returns false and *why_r says what
 * is wrong ("unreasonable nesting", "unbalanced {", ...).
 */
bool expand(struct str text, expand_lookup_f *lookup, void *ctx,
	struct arena *a, struct str *out_r, const char **why_r);

/* A value that others chose, for a lookup: no "$" in it is one of this
 * language, and what cannot be printed is "_". */
struct str expand_plain(struct str value, struct arena *a);

/* compatibility_level: major[.minor[.patch]] as one number; false if not. */
bool compat_level_parse(struct str s, uint64_t *level_r);

#endif
