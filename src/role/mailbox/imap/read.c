/* SPDX-License-Identifier: ISC */
/* A command line with its literals: RFC 3501 4.3, RFC 7888 */
#include "role/mailbox/imap/imap.h"

enum { COMMAND_MAX = 256 << 20 };

static uint64_t literal_limit(const struct imap *s)
{
	int64_t limit = s->sv->c->message_size_limit;

	return limit > 0 ? (uint64_t)limit : COMMAND_MAX / 2;
}

/* Only APPEND and REPLACE may bring a whole message. */
static bool brings_message(struct str input)
{
	struct str rest = input, name;

	str_word(&rest, " ");
	name = str_word(&rest, " ");
	if (str_ieqc(name, "UID"))
		name = str_word(&rest, " ");
	return str_ieqc(name, "APPEND") || str_ieqc(name, "REPLACE");
}

static bool read_literal(struct imap *s, uint64_t size, bool keep)
{
	while (size > 0) {
		struct str piece;

		stream_deadline(s->stream, 300000);
		if (stream_some(s->stream, size > 65536 ? 65536 : (size_t)size,
			    &piece) != LINE_OK)
			return false;
		if (keep)
			buf_put(&s->input, piece);
		size -= piece.len;
	}
	return true;
}

/* Returns READ_OK to go on with the next line of the command. */
static enum read_result take_literal(
	struct imap *s, uint64_t size, bool non_sync)
{
	uint64_t limit = brings_message(buf_str(&s->input))
				 ? literal_limit(s)
				 : (uint64_t)s->sv->c->imapd_line_limit;
	struct imap_in in = {.rest = buf_str(&s->input), .a = s->cmd_a};
	struct str tag = STR("*");

	if (size <= limit) {
		if (!non_sync) {
			stream_puts(s->stream, "+ go ahead\r\n");
			if (!stream_flush(s->stream))
				return READ_GONE;
		}
		return read_literal(s, size, true) ? READ_OK : READ_GONE;
	}
	imap_tag(&in, &tag);
	s->tag = arena_str(s->cmd_a, tag);
	/* What nobody will read must be waited for, or the line is lost. */
	if (non_sync &&
		(size > literal_limit(s) * 2 || !read_literal(s, size, false)))
		return READ_GONE;
	if (non_sync) {
		struct str rest;

		if (stream_line(s->stream, 65536, false, &rest) != LINE_OK)
			return READ_GONE;
	}
	imap_no(s, "[TOOBIG] literal larger than %llu bytes",
		(unsigned long long)limit);
	return READ_REFUSED;
}

enum read_result imap_read_command(struct imap *s)
{
	size_t text = 0;

	buf_shrink(&s->input);
	for (;;) {
		struct str line;
		uint64_t size;
		bool non_sync;

		stream_deadline(s->stream, 60000);
		enum line_result r = stream_line(s->stream,
			(size_t)s->sv->c->imapd_line_limit, false, &line);
		if (r == LINE_TOO_LONG) {
			stream_puts(
				s->stream, "* BAD command line too long\r\n");
			return READ_REFUSED;
		}
		if (r != LINE_OK)
			return READ_GONE;
		buf_put(&s->input, line);
		text += line.len;
		if (!imap_literal_announced(line, &size, &non_sync))
			return READ_OK;
		if (text > (size_t)s->sv->c->imapd_line_limit * 4) {
			stream_puts(s->stream, "* BYE command too long\r\n");
			stream_flush(s->stream);
			return READ_GONE;
		}
		buf_puts(&s->input, "\r\n");
		enum read_result l = take_literal(s, size, non_sync);
		if (l != READ_OK)
			return l;
	}
}
