/* SPDX-License-Identifier: ISC */
#ifndef CODEC_SMTP_REPLY_H
#define CODEC_SMTP_REPLY_H

/*
 * smtp_reply: what a server answers, line by line, for the client side.
 *
 * RFC 5321 4.2 (replies), RFC 2034 4 (enhanced codes in the text)
 *
 * Pure.  A reply of many lines keeps the text of the first few.
 */

#include "base/buf.h"

enum { SMTP_REPLY_LINES_MAX = 128, SMTP_REPLY_TEXT_MAX = 1024 };

struct smtp_reply {
	int code; /* 0: nothing read yet */
	int class, subject, detail; /* enhanced code; class 0 when none */
	size_t lines;
	struct buf text; /* "code x.y.z text", lines joined by a blank */
};

enum smtp_reply_state {
	SMTP_REPLY_MORE, /* another line follows */
	SMTP_REPLY_DONE,
	SMTP_REPLY_BAD, /* not SMTP, or too many lines */
};

void smtp_reply_init(struct smtp_reply *r);
void smtp_reply_fini(struct smtp_reply *r);
/* One line without CRLF. */
enum smtp_reply_state smtp_reply_feed(struct smtp_reply *r, struct str line);
/* The text behind the code of a line ("250-SIZE 10" gives "SIZE 10"). */
struct str smtp_reply_line_text(struct str line);
/* "5.1.1" in front of s? */
bool smtp_enhanced_parse(
	struct str s, int *class_r, int *subject_r, int *detail_r);

#endif
