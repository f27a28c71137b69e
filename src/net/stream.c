/* SPDX-License-Identifier: ISC */
#include "net/stream_private.h"

#include <errno.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/must.h"
#include "sys/clock.h"
#include "sys/sock.h"
#include "sys/waiting.h"

struct stream *stream_new(int fd, size_t in_max_bytes)
{
	struct stream *s = must_alloc(sizeof(*s));

	s->fd = fd;
	buf_init(&s->in, in_max_bytes + CHUNK);
	buf_init(&s->out, OUT_MAX);
	buf_init(&s->packed, OUT_MAX * 2);
	stream_deadline(s, 300000);
	return s;
}

void stream_limit(struct stream *s, size_t in_max_bytes)
{
	s->in.max = in_max_bytes + CHUNK;
}

void stream_free(struct stream *s)
{
	if (s == NULL)
		return;
	s->ends = true;
	stream_flush(s);
	if (s->ssl != NULL) {
		if (!s->failed)
			SSL_shutdown(s->ssl);
		SSL_free(s->ssl);
		ERR_clear_error();
	}
	close(s->fd);
	deflate_free(s->deflate);
	buf_fini(&s->in);
	buf_fini(&s->out);
	buf_fini(&s->packed);
	free(s);
}

int stream_fd(const struct stream *s)
{
	return s->fd;
}

void stream_deadline(struct stream *s, int64_t ms)
{
	s->deadline_ms = clock_mono_ms() + ms;
}

void stream_trim(struct stream *s)
{
	if (s->in_at == s->in.len) {
		buf_shrink(&s->in);
		s->in_at = 0;
	}
	if (s->out.len == 0)
		buf_shrink(&s->out);
	if (s->packed.len == 0)
		buf_shrink(&s->packed);
}

bool stream_failed(const struct stream *s)
{
	return s->failed;
}

bool stream_timed_out(const struct stream *s)
{
	return s->timed_out;
}

bool stream_wait_for(struct stream *s, short events)
{
	for (;;) {
		struct pollfd p = {.fd = s->fd, .events = events};
		int64_t left = s->deadline_ms - clock_mono_ms();

		if (left <= 0) {
			s->timed_out = true;
			return false;
		}
		int n = waiting_poll(&p, 1, left > 60000 ? 60000 : (int)left);
		if (n > 0)
			return true;
		if (n < 0 && errno != EINTR)
			return false;
	}
}

enum io stream_tls_result(struct stream *s, int n)
{
	int error = SSL_get_error(s->ssl, n);

	ERR_clear_error();
	switch (error) {
	case SSL_ERROR_WANT_READ:
		return IO_READ;
	case SSL_ERROR_WANT_WRITE:
		return IO_WRITE;
	case SSL_ERROR_ZERO_RETURN:
		return IO_EOF;
	default:
		return IO_ERROR;
	}
}

static enum io read_wire(struct stream *s, char *to, size_t room, size_t *n_r)
{
	if (s->ssl != NULL) {
		/* What is left of others' errors would be taken for ours. */
		ERR_clear_error();
		int n = SSL_read(s->ssl, to, (int)room);

		if (n <= 0)
			return stream_tls_result(s, n);
		*n_r = (size_t)n;
		return IO_OK;
	}
	ssize_t n = recv(s->fd, to, room, 0);
	if (n > 0) {
		*n_r = (size_t)n;
		return IO_OK;
	}
	if (n == 0)
		return IO_EOF;
	return errno == EAGAIN || errno == EINTR ? IO_READ : IO_ERROR;
}

static enum io read_once(struct stream *s, char *to, size_t room, size_t *n_r)
{
	char packed[4096];
	size_t n;

	if (s->deflate == NULL)
		return read_wire(s, to, room, n_r);
	for (;;) {
		*n_r = deflate_unpack(s->deflate, to, room);
		if (*n_r > 0)
			return IO_OK;
		if (deflate_failed(s->deflate))
			return IO_ERROR;
		enum io r = read_wire(s, packed, sizeof(packed), &n);
		if (r != IO_OK)
			return r;
		deflate_feed(s->deflate, str_of(packed, n));
	}
}

/* Is something there that poll would not tell of? */
static bool hidden(const struct stream *s)
{
	return (s->ssl != NULL && SSL_pending(s->ssl) > 0) ||
	       (s->deflate != NULL && deflate_pending(s->deflate));
}

/*
 * We want more of a peer that we have not answered.  If that is a small rest
 * (the CRLF behind a literal), it keeps it until the last is acknowledged (RFC
 * 1122 4.2.3.4), and the system delays that for 40 ms, hoping for an answer of
 * ours to send it with (4.2.3.2).
 */
static void acknowledge(struct stream *s)
{
	/* What is about to go out says it as well. */
	if (s->out.len > 0)
		return;
	if (s->unanswered)
		sock_quick_ack(s->fd);
	s->unanswered = false;
}

/* Reads what there is; LINE_NOT_YET: *events_r is what to wait for. */
static enum line_result fill_now(struct stream *s, short *events_r)
{
	size_t n = 0;

	if (s->failed || s->eof)
		return s->eof ? LINE_EOF : LINE_ERROR;
	if (s->in_at > 0) {
		buf_consume(&s->in, s->in_at);
		s->in_at = 0;
	}
	if (!buf_reserve(&s->in, CHUNK)) {
		s->in.over = false;
		return LINE_TOO_LONG;
	}
	switch (read_once(s, s->in.data + s->in.len, CHUNK, &n)) {
	case IO_OK:
		s->in.len += n;
		s->drained = n < CHUNK && !hidden(s);
		s->unanswered = true;
		return LINE_OK;
	case IO_READ:
		acknowledge(s);
		*events_r = POLLIN;
		return LINE_NOT_YET;
	case IO_WRITE:
		*events_r = POLLOUT;
		return LINE_NOT_YET;
	case IO_EOF:
		s->eof = true;
		return LINE_EOF;
	case IO_ERROR:
		break;
	}
	s->failed = true;
	return LINE_ERROR;
}

static enum line_result fill(struct stream *s)
{
	short events = POLLIN;

	for (;;) {
		enum line_result r = fill_now(s, &events);

		if (r != LINE_NOT_YET)
			return r;
		if (!stream_wait_for(s, events))
			return LINE_TIMEOUT;
	}
}

struct str stream_pending(const struct stream *s)
{
	return str_from_at(buf_str(&s->in), s->in_at);
}

/* Offset behind the line end, 0 when the line is not complete. */
static size_t find_end(struct str data, size_t from, bool strict, size_t *len_r)
{
	while (from < data.len) {
		ptrdiff_t nl = str_find(str_from_at(data, from), '\n');

		if (nl < 0)
			return 0;
		size_t at = from + (size_t)nl;
		bool cr = at > 0 && data.ptr[at - 1] == '\r';
		if (cr || !strict) {
			*len_r = cr ? at - 1 : at;
			return at + 1;
		}
		from = at + 1;
	}
	return 0;
}

static enum line_result drop_line(struct stream *s, bool strict)
{
	size_t dropped = 0, len;

	for (;;) {
		struct str data = stream_pending(s);
		size_t end = find_end(data, 0, strict, &len);

		if (end > 0) {
			s->in_at += end;
			return LINE_TOO_LONG;
		}
		/* The last byte may be the CR of a CRLF. */
		size_t keep = data.len > 0 && data.ptr[data.len - 1] == '\r';
		dropped += data.len - keep;
		s->in_at += data.len - keep;
		if (dropped > 16u << 20)
			return LINE_ERROR;
		enum line_result r = fill(s);
		if (r != LINE_OK)
			return r;
	}
}

bool stream_has_line(struct stream *s, size_t max, bool read)
{
	short events;
	size_t len;

	for (;;) {
		struct str data = stream_pending(s);

		if (data.len > max + 1 || find_end(data, 0, false, &len) > 0)
			return true;
		if (!read && !hidden(s))
			return false;
		enum line_result r = fill_now(s, &events);
		if (r != LINE_OK)
			return r != LINE_NOT_YET;
	}
}

bool stream_has_part(const struct stream *s)
{
	return s->in_at < s->in.len;
}

bool stream_bare_newline(const struct stream *s)
{
	return s->bare;
}

static void keep_head(struct stream *s, struct str data, struct str *line_r)
{
	size_t n = data.len < sizeof(s->head) ? data.len : sizeof(s->head);

	memcpy(s->head, data.ptr, n);
	*line_r = str_of(s->head, n);
}

enum line_result stream_line(
	struct stream *s, size_t max, bool strict, struct str *line_r)
{
	size_t scanned = 0;

	for (;;) {
		struct str data = stream_pending(s);
		size_t len = 0;
		size_t end = find_end(data, scanned, strict, &len);

		if (end > 0 && len <= max) {
			*line_r = str_sub(data, 0, len);
			s->in_at += end;
			s->bare = end == len + 1;
			return LINE_OK;
		}
		if (end > 0 || data.len > max + 1)
			keep_head(s, data, line_r);
		if (end > 0) {
			s->in_at += end;
			return LINE_TOO_LONG;
		}
		if (data.len > max + 1)
			return drop_line(s, strict);
		scanned = data.len > 0 ? data.len - 1 : 0;
		enum line_result r = fill(s);
		if (r == LINE_TOO_LONG) {
			keep_head(s, stream_pending(s), line_r);
			return drop_line(s, strict);
		}
		if (r != LINE_OK)
			return r;
	}
}

enum line_result stream_some_now(
	struct stream *s, size_t max, struct str *data_r)
{
	short events;

	if (s->in_at == s->in.len) {
		if (s->drained) {
			acknowledge(s);
			return LINE_NOT_YET;
		}
		enum line_result r = fill_now(s, &events);

		if (r != LINE_OK)
			return r;
	}
	*data_r = str_sub(stream_pending(s), 0, max);
	s->in_at += data_r->len;
	return LINE_OK;
}

enum line_result stream_some(struct stream *s, size_t max, struct str *data_r)
{
	if (s->in_at == s->in.len) {
		enum line_result r = fill(s);

		if (r != LINE_OK)
			return r;
	}
	*data_r = str_sub(stream_pending(s), 0, max);
	s->in_at += data_r->len;
	return LINE_OK;
}

void stream_told(struct stream *s)
{
	s->drained = false;
}

void stream_unread(struct stream *s, size_t n)
{
	must(n <= s->in_at);
	s->in_at -= n;
}

bool stream_buffered(const struct stream *s)
{
	return s->in_at < s->in.len || hidden(s);
}

bool stream_readable(struct stream *s, int wait_ms)
{
	struct pollfd p = {.fd = s->fd, .events = POLLIN};

	return stream_buffered(s) || waiting_poll(&p, 1, wait_ms) > 0;
}

bool stream_has_input(struct stream *s)
{
	struct pollfd p = {.fd = s->fd, .events = POLLIN};
	char c;

	if (stream_buffered(s))
		return true;
	if (poll(&p, 1, 0) <= 0)
		return false;
	if (s->ssl == NULL)
		return true;
	int n = SSL_peek(s->ssl, &c, 1);
	return n > 0 || stream_tls_result(s, n) != IO_READ;
}

bool stream_drop_input(struct stream *s)
{
	bool had = s->in_at < s->in.len;

	buf_reset(&s->in);
	s->in_at = 0;
	return had;
}
