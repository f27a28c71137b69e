/* SPDX-License-Identifier: ISC */
#ifndef NET_STREAM_PRIVATE_H
#define NET_STREAM_PRIVATE_H

/* What stream.c (life and input), stream_out.c and stream_tls.c share. */

#include "net/stream.h"
#include "sys/deflate.h"

enum {
	CHUNK = 16384,
	/* a FETCH of one large header; flushed long before */
	OUT_MAX = 64 << 20,
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
	bool drained; /* the last read took all there was then */
	bool unanswered; /* nothing was written since the last was read */
	bool failed;
	bool eof;
	bool timed_out;
	bool ends; /* what is written goes out with the end */
};

/* Waits for the events; false at the deadline. */
bool stream_wait_for(struct stream *s, short events);

enum io { IO_OK, IO_READ, IO_WRITE, IO_EOF, IO_ERROR };
/* What an SSL_read or SSL_write that returned n is waiting for. */
enum io stream_tls_result(struct stream *s, int n);
/* Input that was taken in and not eaten. */
struct str stream_pending(const struct stream *s);

#endif
