/* SPDX-License-Identifier: ISC */
#ifndef CODEC_MAIL_HEADER_H
#define CODEC_MAIL_HEADER_H

/*
 * mail_header: the fields in front of a message body.
 *
 * RFC 5322 2.2 (fields), 2.2.3 (folding), 4 (obsolete blanks before ":")
 *
 * Pure.  Views point into the message.  Lines end in CRLF or LF.
 */

#include "base/arena.h"

struct mail_field {
	struct str name; /* without blanks before the colon */
	struct str value; /* raw: folds inside, blanks at both ends cut */
	struct str whole; /* name through the last line end */
};

/*
 * Next field of *rest, which moves behind it.  False at the blank line, at
 * the end, or where a line is no field (the body then starts there).
 */
bool mail_field_next(struct str *rest, struct mail_field *field_r);

/*
 * The same, but lines that are no field are passed over up to the blank line:
 * for mail that is there and is shown to people.  What comes in by SMTP has a
 * blank line in front of the first such line (mail_split).
 */
bool mail_field_find(struct str *rest, struct mail_field *field_r);
/* The header goes up to the first blank line, whatever is in it. */
void mail_split_blank(
	struct str message, struct str *head_r, struct str *body_r);

/* Cuts a message into header (with its last CRLF) and body. */
void mail_split(struct str message, struct str *head_r, struct str *body_r);

/* The next field of that name, as mail_field_find goes through it. */
bool mail_field_named(
	struct str *rest, struct str name, struct mail_field *field_r);
/* First field of that name in head, as mail_field_find goes through it; its
 * value, absent without. */
struct str mail_field_value(struct str head, const char *name);
size_t mail_field_count(struct str head, const char *name);

/* Folds removed: each line break with the blanks around it is one blank. */
struct str mail_unfold(struct str value, struct arena *a);

#endif
