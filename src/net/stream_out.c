/* SPDX-License-Identifier: ISC */
/* The output of a stream, and what compresses both directions. */
#include <errno.h>
#include <openssl/err.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/must.h"
#include "net/stream_private.h"

enum { FLUSH_AT = 65536 };

static enum io write_once(struct stream *s, struct str data, size_t *n_r)
{
	if (s->ssl != NULL) {
		ERR_clear_error();
		int n = SSL_write(s->ssl, data.ptr,
			data.len > INT32_MAX ? INT32_MAX : (int)data.len);

		if (n <= 0)
			return stream_tls_result(s, n);
		*n_r = (size_t)n;
		return IO_OK;
	}
	ssize_t n = send(s->fd, data.ptr, data.len,
		MSG_NOSIGNAL | (s->ends ? MSG_MORE : 0));
	if (n >= 0) {
		*n_r = (size_t)n;
		return IO_OK;
	}
	return errno == EAGAIN || errno == EINTR ? IO_WRITE : IO_ERROR;
}

bool stream_flush(struct stream *s)
{
	struct buf *out = &s->out;
	bool over = buf_over(&s->out);
	size_t at = 0;

	if (s->deflate != NULL && s->out.len > 0) {
		deflate_pack(s->deflate, buf_str(&s->out), &s->packed);
		buf_reset(&s->out);
		out = &s->packed;
	}
	while (at < out->len && !s->failed) {
		size_t n = 0;
		struct str rest = str_from_at(buf_str(out), at);

		switch (write_once(s, rest, &n)) {
		case IO_OK:
			at += n;
			s->unanswered = false;
			break;
		case IO_READ:
			s->failed |= !stream_wait_for(s, POLLIN);
			break;
		case IO_WRITE:
			s->failed |= !stream_wait_for(s, POLLOUT);
			break;
		case IO_EOF:
		case IO_ERROR:
			s->failed = true;
			break;
		}
	}
	over |= buf_over(out);
	if (out->cap > FLUSH_AT * 2)
		buf_shrink(out);
	else
		buf_reset(out);
	s->failed |= over;
	return !s->failed;
}

void stream_put(struct stream *s, struct str data)
{
	/* What is large goes in pieces: memory for it is nobody's. */
	while (data.len > FLUSH_AT * 4) {
		stream_put(s, str_sub(data, 0, FLUSH_AT));
		data = str_from_at(data, FLUSH_AT);
	}
	if (s->out.len + data.len > FLUSH_AT)
		stream_flush(s);
	buf_put(&s->out, data);
}

void stream_puts(struct stream *s, const char *text)
{
	stream_put(s, str_from(text));
}

void stream_putf(struct stream *s, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	buf_putv(&s->out, fmt, args);
	va_end(args);
}

struct buf *stream_out(struct stream *s)
{
	if (s->out.len > FLUSH_AT)
		stream_flush(s);
	return &s->out;
}

/* ---- RFC 4978 ---- */

void stream_compress(struct stream *s)
{
	struct str early = stream_pending(s);

	must(s->deflate == NULL);
	stream_flush(s);
	s->deflate = deflate_new();
	/* What was read ahead is compressed already. */
	deflate_feed(s->deflate, early);
	buf_reset(&s->in);
	s->in_at = 0;
}

void stream_uncompress(struct stream *s)
{
	struct str early;

	stream_flush(s);
	/* What it did not take for deflate came behind the last of it. */
	early = deflate_rest(s->deflate);
	buf_put(&s->in, early);
	deflate_free(s->deflate);
	s->deflate = NULL;
}

bool stream_is_compressed(const struct stream *s)
{
	return s->deflate != NULL;
}
