/* SPDX-License-Identifier: ISC */
#ifndef CODEC_POSTFIX_LINES_H
#define CODEC_POSTFIX_LINES_H

/*
 * Logical lines of main.cf, master.cf and lookup table sources.
 *
 * postconf(5), "GENERAL PROPERTIES OF CONFIGURATION FILES": empty lines,
 * blank lines and comment lines vanish wherever they stand; a line that
 * starts with a blank continues the one before.
 *
 * Pure.  A line that needed no joining is a view of the text.
 */

#include "base/arena.h"

struct logical_line {
	struct str text; /* trailing blanks kept; continuation blanks kept */
	unsigned first; /* line numbers, from 1 */
	unsigned last;
	bool stray; /* continues nothing: the file starts with it */
};

struct logical_lines {
	struct str rest;
	unsigned number; /* of the last physical line read */
	struct arena *a;
};

void logical_lines_init(
	struct logical_lines *l, struct str text, struct arena *a);
bool logical_lines_next(struct logical_lines *l, struct logical_line *line_r);

enum assignment_result {
	ASSIGNMENT_OK,
	ASSIGNMENT_NO_EQUALS,
	ASSIGNMENT_NO_NAME
};

/* "name = value": blanks around both cut. */
enum assignment_result assignment_parse(
	struct str line, struct str *name_r, struct str *value_r);

/*
 * One table entry: postmap(1) "key whitespace value", or with aliases set
 * aliases(5) "name: value".  False and *why_r when the line is skipped.
 */
bool table_entry_parse(struct str line, bool aliases, struct arena *a,
	struct str *key_r, struct str *value_r, const char **why_r);

/*
 * Next item of a list value: separated by commas and blanks, where { } keeps
 * its inside together (the braces stay).  Absent at the end.
 */
struct str list_item(struct str *rest);
/* All of them; views into the list. */
struct strs list_items(struct str list, struct arena *a);
/* "{ inner }" without braces and blanks; s itself when it has none. */
struct str list_unbrace(struct str s);

/* A line of master.cf: master(5). */
struct master_line {
	struct str service;
	struct str type;
	struct str private_, unprivileged, chroot, wakeup, maxproc;
	struct str command;
	struct strs args; /* "-o", "name=value", ...; braces removed */
};
/* False with *why_r when it does not have its eight fields. */
bool master_line_parse(struct str line, struct arena *a,
	struct master_line *line_r, const char **why_r);

#endif
