/* SPDX-License-Identifier: ISC */
#ifndef CODEC_POSTFIX_ALIASES_H
#define CODEC_POSTFIX_ALIASES_H

/*
 * The right-hand side of aliases(5), which is also the text of an :include:
 * file and of a .forward file, and the words of a |command.
 *
 * Pure.  Results are views of the text or live in the arena.
 */

#include "base/arena.h"

enum alias_kind {
	ALIAS_ADDRESS, /* user or user@domain */
	ALIAS_USER, /* \user: the user's mailbox, without aliases */
	ALIAS_FILE, /* /file, a / at the end: Maildir */
	ALIAS_COMMAND, /* |command */
	ALIAS_INCLUDE, /* :include:/file */
};

struct alias_target {
	enum alias_kind kind;
	struct str value; /* without \, |, :include: and quotes */
};

/* Next target of one alias: separated by commas, quotes keep blanks and
 * commas.  False at the end. */
bool alias_target_next(
	struct str *rest, struct arena *a, struct alias_target *target_r);

/*
 * The same of a file: lines, where # starts a comment and a line that starts
 * with a blank goes on.  Returns all targets as one text for
 * alias_target_next.
 */
struct str alias_lines_join(struct str text, struct arena *a);

/* The value of $NAME in a command; absent: there is no such name. */
typedef struct str command_value_f(struct str name, void *ctx);

/*
 * A command cut into words, without a shell: '...' and "..." keep blanks, a
 * backslash keeps one byte, $NAME and ${NAME} outside of '...' become a part
 * of their word and are not cut again.  "exec" in front and a comment behind
 * are dropped.  False and *why_r for what only a shell could do.
 */
bool command_words(struct str command, command_value_f *value, void *ctx,
	struct arena *a, struct strs *words_r, const char **why_r);

#endif
