/* SPDX-License-Identifier: ISC */
#ifndef NET_STREAM_H
#define NET_STREAM_H

/*
 * stream: a connection read and written by straight code, with a deadline on
 * every wait, in clear or under TLS.
 *
 * Output errors are sticky: put what you like, stream_flush tells.  Memory is
 * bounded by the two limits given at birth.  One thread at a time.
 */

#include <openssl/ssl.h>

#include "base/buf.h"
#include "base/fault.h"

enum line_result {
	LINE_OK,
	LINE_TIMEOUT,
	LINE_TOO_LONG, /* it was read and dropped but for its first bytes */
	LINE_EOF,
	LINE_ERROR,
	LINE_NOT_YET, /* of the functions that do not wait */
};

struct stream;

/* Takes the (non-blocking) descriptor over. */
struct stream *stream_new(int fd, size_t in_max_bytes);
/* Another limit, for who is trusted more now. */
void stream_limit(struct stream *s, size_t in_max_bytes);
/* Closes; what was not flushed goes out with the end of the connection, in one
 * segment with it.  NULL is fine. */
void stream_free(struct stream *s);
int stream_fd(const struct stream *s);

/* Every wait from here on ends at now + ms. */
void stream_deadline(struct stream *s, int64_t ms);
/* Gives the buffers back while the session is parked. */
void stream_trim(struct stream *s);

/*
 * Next line without its line end; the view is good until the next read.
 * strict: only CRLF ends a line, else LF does too.
 */
enum line_result stream_line(
	struct stream *s, size_t max, bool strict, struct str *line_r);
/* Did the last line end in LF alone? */
bool stream_bare_newline(const struct stream *s);
/* Would stream_line return at once: a line, one that is too long, or the end?
 * read: bytes that have come are taken in first.  Never waits. */
bool stream_has_line(struct stream *s, size_t max, bool read);
/* Is something there that is no whole line yet? */
bool stream_has_part(const struct stream *s);
/* Some bytes, at least one; the view is good until the next read. */
enum line_result stream_some(struct stream *s, size_t max, struct str *data_r);
/* The same without waiting: LINE_NOT_YET.  Does not ask the system again after
 * a read that took all there was, until stream_told. */
enum line_result stream_some_now(
	struct stream *s, size_t max, struct str *data_r);
/* The descriptor has become readable. */
void stream_told(struct stream *s);
/* Puts bytes that were read by stream_some back in front. */
void stream_unread(struct stream *s, size_t n);
/* Bytes that a read would find without waiting: buffered or in TLS. */
bool stream_buffered(const struct stream *s);
/* The same, but also looks at the socket for a moment. */
bool stream_readable(struct stream *s, int wait_ms);
/* Has the peer said something, or gone, by now?  What TLS says for itself (a
 * session ticket) does not count.  Does not wait. */
bool stream_has_input(struct stream *s);
/* Forgets what was read ahead; true when there was something. RFC 3207 4.2 */
bool stream_drop_input(struct stream *s);

void stream_put(struct stream *s, struct str data);
void stream_puts(struct stream *s, const char *text);
void stream_putf(struct stream *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The output buffer, for codecs that append to a buf. */
struct buf *stream_out(struct stream *s);
bool stream_flush(struct stream *s);
bool stream_failed(const struct stream *s);
/* Time of the last failed wait: was it the deadline? */
bool stream_timed_out(const struct stream *s);

/* From here on both directions are compressed: RFC 4978.  What was read ahead
 * counts as such. */
void stream_compress(struct stream *s);
void stream_uncompress(struct stream *s); /* RFC 8437 2 */
bool stream_is_compressed(const struct stream *s);

/* Handshakes.  The SSL is taken over in any case. */
bool stream_tls_accept(struct stream *s, SSL *ssl, struct fault *f);
/*
 * name: SNI and, with verify, the name that the certificate must show.
 */
bool stream_tls_connect(struct stream *s, SSL *ssl, const char *name,
	bool verify, struct fault *f);
bool stream_is_tls(const struct stream *s);
SSL *stream_ssl(const struct stream *s);
const char *stream_tls_version(const struct stream *s);
const char *stream_tls_cipher(const struct stream *s);
int stream_tls_bits(const struct stream *s);

#endif
