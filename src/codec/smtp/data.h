/* SPDX-License-Identifier: ISC */
#ifndef CODEC_SMTP_DATA_H
#define CODEC_SMTP_DATA_H

/*
 * smtp_data: the text between 354 and the final dot, or in chunks.
 *
 * RFC 5321 4.1.1.4 (only <CRLF>.<CRLF> ends the data), 4.5.2 (transparency)
 *
 * A bare CR or LF never ends a line here; it is noted, so that the caller
 * can refuse the message (SMTP smuggling).  Pure; feed it any cuts.
 */

#include "base/buf.h"

enum smtp_data_state {
	SMTP_DATA_LINE_START,
	SMTP_DATA_DOT, /* "." at line start */
	SMTP_DATA_DOT_CR, /* ".\r" at line start */
	SMTP_DATA_TEXT,
	SMTP_DATA_CR, /* "\r" inside a line */
	SMTP_DATA_END,
};

struct smtp_data {
	enum smtp_data_state state;
	bool bare_newline; /* a CR or LF stood alone */
	bool has_nul;
	bool has_8bit;
	size_t line_length; /* of the line being read */
	size_t longest_line;
};

void smtp_data_init(struct smtp_data *d);

/*
 * Eats from in, appends the unstuffed text with its CRLFs to out (the final
 * dot excluded) and returns the bytes eaten: all of in, or fewer when the
 * end was found (state SMTP_DATA_END).
 */
size_t smtp_data_feed(struct smtp_data *d, struct str in, struct buf *out);

/*
 * The same for the octets of a BDAT chunk (RFC 3030 2), where no dot means
 * anything: eats all.  smtp_chunk_end puts what is missing to end the last
 * line.
 */
void smtp_chunk_feed(struct smtp_data *d, struct str in, struct buf *out);
void smtp_chunk_end(struct smtp_data *d, struct buf *out);

/*
 * The way out: appends text with dots doubled and every line ended by CRLF.
 * *line_start carries the state between calls, true at first.
 */
void smtp_data_stuff(struct str in, bool *line_start, struct buf *out);

#endif
