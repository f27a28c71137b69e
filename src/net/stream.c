/* SPDX-License-Identifier: ISC */
#include "net/stream.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/must.h"
#include "net/tls.h"
#include "net/tls_expect.h"
#include "sys/clock.h"
#include "sys/deflate.h"
#include "sys/sock.h"

enum {
	CHUNK = 16384,
	FLUSH_AT = 65536,
	OUT_MAX =
		64 << 20, /* a FETCH of one large header; flushed long before */
};

struct stream {
	char head[64]; /* of the last line that was too long */
	bool bare; /* the last line ended in LF alone */
	int fd;
	SSL *ssl;
	struct deflate *deflate; /* NULL: not compressed */
	struct buf packed; /* output that is compressed already */
	struct buf in;
	size_t in_at; /* bytes of in that were eaten */
	struct buf out;
	int64_t deadline_ms;
	bool unanswered; /* nothing was written since the last was read */
	bool failed;
	bool eof;
	bool timed_out;
};

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

void stream_free(struct stream *s)
{
	if (s == NULL)
		return;
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

/* Waits for the events; false at the deadline. */
static bool wait_for(struct stream *s, short events)
{
	for (;;) {
		struct pollfd p = {.fd = s->fd, .events = events};
		int64_t left = s->deadline_ms - clock_mono_ms();

		if (left <= 0) {
			s->timed_out = true;
			return false;
		}
		int n = poll(&p, 1, left > 60000 ? 60000 : (int)left);
		if (n > 0)
			return true;
		if (n < 0 && errno != EINTR)
			return false;
	}
}

enum io { IO_OK, IO_READ, IO_WRITE, IO_EOF, IO_ERROR };

static enum io tls_result(struct stream *s, int n)
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
			return tls_result(s, n);
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

static enum io write_once(struct stream *s, struct str data, size_t *n_r)
{
	if (s->ssl != NULL) {
		ERR_clear_error();
		int n = SSL_write(s->ssl, data.ptr,
			data.len > INT32_MAX ? INT32_MAX : (int)data.len);

		if (n <= 0)
			return tls_result(s, n);
		*n_r = (size_t)n;
		return IO_OK;
	}
	ssize_t n = send(s->fd, data.ptr, data.len, MSG_NOSIGNAL);
	if (n >= 0) {
		*n_r = (size_t)n;
		return IO_OK;
	}
	return errno == EAGAIN || errno == EINTR ? IO_WRITE : IO_ERROR;
}

/*
 * We want more of a peer that we have not answered.  If that is a small rest
 * (the CRLF behind a literal), it keeps it until the last is acknowledged (RFC
 * 1122 4.2.3.4), and the system delays that for 40 ms, hoping for an answer of
 * ours to send it with (4.2.3.2).
 */
static void acknowledge(struct stream *s)
{
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
		if (!wait_for(s, events))
			return LINE_TIMEOUT;
	}
}

static struct str pending(const struct stream *s)
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
		struct str data = pending(s);
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
		struct str data = pending(s);

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
		struct str data = pending(s);
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
			keep_head(s, pending(s), line_r);
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
		enum line_result r = fill_now(s, &events);

		if (r != LINE_OK)
			return r;
	}
	*data_r = str_sub(pending(s), 0, max);
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
	*data_r = str_sub(pending(s), 0, max);
	s->in_at += data_r->len;
	return LINE_OK;
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

	return stream_buffered(s) || poll(&p, 1, wait_ms) > 0;
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
	return n > 0 || tls_result(s, n) != IO_READ;
}

bool stream_drop_input(struct stream *s)
{
	bool had = s->in_at < s->in.len;

	buf_reset(&s->in);
	s->in_at = 0;
	return had;
}

/* ---- output ---- */

void stream_compress(struct stream *s)
{
	struct str early = pending(s);

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

void stream_limit(struct stream *s, size_t in_max_bytes)
{
	s->in.max = in_max_bytes + CHUNK;
}

bool stream_is_compressed(const struct stream *s)
{
	return s->deflate != NULL;
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
			s->failed |= !wait_for(s, POLLIN);
			break;
		case IO_WRITE:
			s->failed |= !wait_for(s, POLLOUT);
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

/* ---- TLS ---- */

static bool handshake(struct stream *s, int (*step)(SSL *), struct fault *f)
{
	char why[160];

	for (;;) {
		ERR_clear_error();
		int n = step(s->ssl);
		if (n == 1)
			return true;
		int error = SSL_get_error(s->ssl, n);
		bool go_on =
			(error == SSL_ERROR_WANT_READ && wait_for(s, POLLIN)) ||
			(error == SSL_ERROR_WANT_WRITE && wait_for(s, POLLOUT));
		if (go_on)
			continue;
		s->failed = true;
		long verify = SSL_get_verify_result(s->ssl);
		if (s->timed_out)
			fault_set(f, FAULT_TEMP, 454, 7, 0,
				"TLS handshake timed out");
		else if (verify != X509_V_OK)
			fault_set(f, FAULT_TEMP, 454, 7, 0,
				"certificate not trusted: %s",
				X509_verify_cert_error_string(verify));
		else
			fault_set(f, FAULT_TEMP, 454, 7, 0,
				"TLS handshake failed: %s",
				error == SSL_ERROR_SYSCALL
					? "connection lost"
					: tls_error_text(why, sizeof(why)));
		return false;
	}
}

static void attach(struct stream *s, SSL *ssl)
{
	must(s->ssl == NULL);
	s->ssl = ssl;
	SSL_set_fd(ssl, s->fd);
}

bool stream_tls_accept(struct stream *s, SSL *ssl, struct fault *f)
{
	attach(s, ssl);
	return handshake(s, SSL_accept, f);
}

bool stream_tls_connect(struct stream *s, SSL *ssl, const char *name,
	bool verify, struct fault *f)
{
	attach(s, ssl);
	if (name != NULL && strchr(name, '[') == NULL)
		SSL_set_tlsext_host_name(ssl, name);
	if (verify)
		tls_expect_name(ssl, name);
	return handshake(s, SSL_connect, f);
}

bool stream_is_tls(const struct stream *s)
{
	return s->ssl != NULL;
}

SSL *stream_ssl(const struct stream *s)
{
	return s->ssl;
}

const char *stream_tls_version(const struct stream *s)
{
	return s->ssl != NULL ? SSL_get_version(s->ssl) : "";
}

const char *stream_tls_cipher(const struct stream *s)
{
	return s->ssl != NULL ? SSL_get_cipher_name(s->ssl) : "";
}

int stream_tls_bits(const struct stream *s)
{
	return s->ssl != NULL ? SSL_get_cipher_bits(s->ssl, NULL) : 0;
}
