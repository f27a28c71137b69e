/* SPDX-License-Identifier: ISC */
#include "sys/gzip.h"

#include <zlib.h>

#include "base/attr.h"

enum { GZIP_WINDOW = 15 + 16, RAW_WINDOW = -15, PIECE = 65536 };

static bool begin_unpack(z_stream *z, struct str in, int window)
{
	*z = (z_stream){.next_in = (unsigned char *)(uintptr_t)in.ptr,
		.avail_in = (unsigned)in.len};
	return in.len <= UINT32_MAX && inflateInit2(z, window) == Z_OK;
}

static bool unpack(struct str in, int window, struct buf *out)
{
	z_stream z;
	int r = Z_OK;

	if (!begin_unpack(&z, in, window))
		return false;
	while (r == Z_OK && buf_reserve(out, PIECE)) {
		z.next_out = (unsigned char *)out->data + out->len;
		z.avail_out = PIECE;
		r = inflate(&z, Z_NO_FLUSH);
		out->len += PIECE - z.avail_out;
		if (r == Z_OK && z.avail_out == PIECE)
			break; /* no input, no output */
	}
	inflateEnd(&z);
	return r == Z_STREAM_END;
}

static unsigned le16(struct str s, size_t at)
{
	return (unsigned char)s.ptr[at] | (unsigned)(unsigned char)s.ptr[at + 1]
						  << 8;
}

/* APPNOTE 4.3.7: a local header, names, then the data, of which the inflater
 * finds the end by itself. */
static bool unzip(struct str in, struct buf *out)
{
	enum { HEADER = 30, STORED = 0, DEFLATED = 8 };

	if (in.len < HEADER)
		return false;
	size_t at = HEADER + le16(in, 26) + le16(in, 28);
	unsigned method = le16(in, 8);
	size_t size = le16(in, 18) | (size_t)le16(in, 20) << 16;
	struct str data = str_from_at(in, at);

	if (method == DEFLATED)
		return unpack(data, RAW_WINDOW, out);
	if (method == STORED && size <= data.len)
		buf_put(out, str_sub(data, 0, size));
	return method == STORED && size <= data.len && !buf_over(out);
}

bool gzip_unpack(struct str in, struct buf *out)
{
	if (str_starts(in, "\x1f\x8b"))
		return unpack(in, GZIP_WINDOW, out);
	if (str_starts(in, "PK\x03\x04"))
		return unzip(in, out);
	buf_put(out, in);
	return !buf_over(out);
}

bool gzip_pack(struct str in, struct buf *out)
{
	z_stream z = {.next_in = (unsigned char *)(uintptr_t)in.ptr,
		.avail_in = (unsigned)in.len};
	int r = Z_OK;

	if (in.len > UINT32_MAX ||
		deflateInit2(&z, Z_BEST_COMPRESSION, Z_DEFLATED, GZIP_WINDOW, 9,
			Z_DEFAULT_STRATEGY) != Z_OK)
		return false;
	while (r == Z_OK && buf_reserve(out, PIECE)) {
		z.next_out = (unsigned char *)out->data + out->len;
		z.avail_out = PIECE;
		r = deflate(&z, Z_FINISH);
		out->len += PIECE - z.avail_out;
	}
	deflateEnd(&z);
	return r == Z_STREAM_END;
}
