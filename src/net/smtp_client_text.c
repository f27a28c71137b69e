/* SPDX-License-Identifier: ISC */
/* The text of a message: RFC 5321 4.1.1.4 (DATA), RFC 3030 (BDAT). */
#include <string.h>

#include "codec/smtp/data.h"
#include "net/smtp_client_private.h"

enum { PIECE = 32768, CHUNK = 1 << 20 };

/* All but the dot. */
static bool put_message(struct smtp_client *c, const struct smtp_client_mail *m)
{
	bool line_start = true;

	smtp_data_stuff(m->prefix, &line_start, stream_out(c->stream));
	for (size_t at = 0; at < m->message.len; at += PIECE) {
		struct str piece = str_sub(m->message, at, PIECE);

		smtp_data_stuff(piece, &line_start, stream_out(c->stream));
		stream_deadline(c->stream, c->timeouts.data_xfer_ms);
		if (!stream_flush(c->stream))
			return false;
		if (m->progress != NULL)
			m->progress(at + piece.len, m->message.len, m->ctx);
	}
	if (!line_start)
		stream_puts(c->stream, "\r\n");
	return stream_flush(c->stream);
}

/* RFC 2033 4.2: one reply for each accepted recipient. */
static bool lmtp_replies(
	struct smtp_client *c, struct smtp_client_mail *m, struct fault *f)
{
	for (size_t i = 0; i < m->n_rcpts; i++) {
		struct smtp_client_rcpt *r = &m->rcpts[i];

		if (!r->ok)
			continue;
		if (!smtp_client_read_reply(c, c->timeouts.data_done_ms, f)) {
			/* What is not answered is not delivered. */
			for (; i < m->n_rcpts; i++)
				m->rcpts[i].ok = false;
			return false;
		}
		r->ok = c->reply.code / 100 == 2;
		r->refused = !r->ok;
		if (!r->ok)
			smtp_client_refused(c, &r->fault);
	}
	return true;
}

static bool data(
	struct smtp_client *c, struct smtp_client_mail *m, struct fault *f)
{
	stream_puts(c->stream, "DATA\r\n");
	if (!smtp_client_expect(c, c->timeouts.data_init_ms, 3, f))
		return false;
	c->text_begun = true;
	if (!put_message(c, m))
		return smtp_client_lost(c, f);
	if (!smtp_client_in_step(c, f))
		return false;
	stream_puts(c->stream, ".\r\n");
	if (c->lmtp)
		return lmtp_replies(c, m, f);
	return smtp_client_expect(c, c->timeouts.data_done_ms, 2, f);
}

/* ---- chunks ---- */

/* RFC 3030 2: what goes as it is must be lines, CRLF at the end of each. */
static bool is_lines(struct str text)
{
	const char *at = text.ptr, *end = text.ptr + text.len;

	if (!str_ends(text, "\r\n"))
		return false;
	while (at < end) {
		const char *nl = memchr(at, '\n', (size_t)(end - at));

		if (nl == NULL)
			break;
		if (nl == text.ptr || nl[-1] != '\r')
			return false;
		at = nl + 1;
	}
	return true;
}

static bool put_piece(struct smtp_client *c, struct str piece)
{
	for (size_t at = 0; at < piece.len; at += PIECE) {
		buf_put(stream_out(c->stream), str_sub(piece, at, PIECE));
		stream_deadline(c->stream, c->timeouts.data_xfer_ms);
		if (!stream_flush(c->stream))
			return false;
	}
	return true;
}

/* No 354 to wait for, no dot to double.  Each chunk is answered. */
static bool bdat(
	struct smtp_client *c, struct smtp_client_mail *m, struct fault *f)
{
	struct str prefix = str_present(m->prefix) ? m->prefix : STR("");

	for (size_t at = 0; at < m->message.len; at += CHUNK) {
		struct str piece = str_sub(m->message, at, CHUNK);
		bool last = at + piece.len == m->message.len;

		stream_putf(c->stream, "BDAT %zu%s\r\n", prefix.len + piece.len,
			last ? " LAST" : "");
		c->text_begun = true;
		if (!put_piece(c, prefix) || !put_piece(c, piece))
			return smtp_client_lost(c, f);
		prefix = STR("");
		if (!smtp_client_expect(c,
			    last ? c->timeouts.data_done_ms
				 : c->timeouts.data_xfer_ms,
			    2, f))
			return false;
		if (m->progress != NULL)
			m->progress(at + piece.len, m->message.len, m->ctx);
	}
	return true;
}

bool smtp_client_text(
	struct smtp_client *c, struct smtp_client_mail *m, struct fault *f)
{
	if (!smtp_client_in_step(c, f))
		return false;
	bool chunks = (c->caps & CAP_CHUNKING) != 0 && !c->lmtp &&
		      is_lines(m->message) &&
		      (m->prefix.len == 0 || is_lines(m->prefix));

	return chunks ? bdat(c, m, f) : data(c, m, f);
}
