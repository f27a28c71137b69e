/* SPDX-License-Identifier: ISC */
#ifndef POLICY_CONTENT_H
#define POLICY_CONTENT_H

/*
 * content: header_checks and its family: header_checks(5), body_checks.
 *
 * Decides about a text and says what is to be changed; changes nothing.
 * Any thread.
 */

#include "policy/policy.h"

struct content_checks {
	struct maps *header; /* of the message, but MIME fields */
	struct maps *mime; /* MIME fields; fields of parts */
	struct maps *nested; /* of a message in the message */
	struct maps *body; /* line by line */
	size_t body_limit; /* bytes of each part that body looks at */
	bool no_parts; /* disable_mime_input_processing */
};

/* NULL when no table is named.  Lives as long as c. */
struct content_checks *content_checks_new(
	const struct conf *c, struct tables *tables, struct problems *problems);

/* milter_header_checks: one set of rules for fields that filters add.  NULL
 * when no table is named. */
struct content_checks *content_checks_milter(
	const struct conf *c, struct tables *tables, struct problems *problems);

/* smtp_header_checks and its kin, for what goes out.  NULL when no table is
 * named. */
struct content_checks *content_checks_smtp(
	const struct conf *c, struct tables *tables, struct problems *problems);

/* Bytes at..at+len become text (len 0: text comes in between). */
struct content_edit {
	size_t at, len;
	struct str text; /* with its line end; "" to delete */
	struct content_edit *next;
};

struct content_result {
	int code; /* 0: not refused */
	struct str text; /* "5.7.1 ..." with a code */
	bool discard;
	bool hold;
	struct str redirect; /* absent without */
	struct str filter; /* absent without */
	struct strs bcc;
	struct strs log; /* one line each */
	struct content_edit *edits; /* in the order of the message */
};

/* Strings live in the arena.  False when a table cannot be asked. */
bool content_check(const struct content_checks *k, struct str message,
	struct arena *a, struct content_result *r_r, struct fault *f);

/* The message with the edits done, in pieces of it and of them. */
void content_apply(struct str message, const struct content_edit *edits,
	struct arena *a, struct strs *pieces_r);

#endif
