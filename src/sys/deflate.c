/* SPDX-License-Identifier: ISC */
#include "sys/deflate.h"

#include <stdlib.h>
#include <zlib.h>

#include "base/must.h"

/* 8 KiB of window and 32 KiB of hash for our side; the peer may use all.  The
 * lowest level packs mail to 37 % of its size, the default one to 32 %, and
 * takes half as long: whom a thin wire makes wait waits for us no longer. */
enum {
	PACK_LEVEL = 1,
	PACK_WINDOW = -13,
	UNPACK_WINDOW = -15,
	PACK_MEMORY = 5,
	CHUNK = 16384
};

struct deflate {
	z_stream pack, unpack;
	struct buf packed; /* not unpacked yet */
	size_t at;
	bool full; /* the last unpack filled its room: there may be more */
	bool failed;
};

struct deflate *deflate_new(void)
{
	struct deflate *d = must_alloc(sizeof(*d));

	must(deflateInit2(&d->pack, PACK_LEVEL, Z_DEFLATED, PACK_WINDOW,
		     PACK_MEMORY, Z_DEFAULT_STRATEGY) == Z_OK);
	must(inflateInit2(&d->unpack, UNPACK_WINDOW) == Z_OK);
	buf_init(&d->packed, SIZE_MAX / 2);
	return d;
}

void deflate_free(struct deflate *d)
{
	if (d == NULL)
		return;
	deflateEnd(&d->pack);
	inflateEnd(&d->unpack);
	buf_fini(&d->packed);
	free(d);
}

void deflate_pack(struct deflate *d, struct str data, struct buf *out)
{
	z_stream *z = &d->pack;

	z->next_in = (Bytef *)(uintptr_t)data.ptr;
	z->avail_in = (uInt)data.len;
	must(data.len <= UINT32_MAX);
	do {
		if (!buf_reserve(out, CHUNK))
			return;
		z->next_out = (Bytef *)out->data + out->len;
		z->avail_out = CHUNK;
		must(deflate(z, Z_SYNC_FLUSH) != Z_STREAM_ERROR);
		out->len += CHUNK - z->avail_out;
	} while (z->avail_out == 0);
}

void deflate_feed(struct deflate *d, struct str packed)
{
	buf_consume(&d->packed, d->at);
	d->at = 0;
	buf_put(&d->packed, packed);
}

size_t deflate_unpack(struct deflate *d, char *to, size_t room)
{
	z_stream *z = &d->unpack;

	if (d->failed)
		return 0;
	z->next_in = (Bytef *)d->packed.data + d->at;
	z->avail_in = (uInt)(d->packed.len - d->at);
	z->next_out = (Bytef *)to;
	z->avail_out = (uInt)room;
	int r = inflate(z, Z_SYNC_FLUSH);
	d->at = d->packed.len - z->avail_in;
	d->full = z->avail_out == 0;
	if (r != Z_OK && r != Z_BUF_ERROR && r != Z_STREAM_END)
		d->failed = true;
	return room - z->avail_out;
}

bool deflate_pending(const struct deflate *d)
{
	return !d->failed && (d->at < d->packed.len || d->full);
}

bool deflate_failed(const struct deflate *d)
{
	return d->failed;
}

struct str deflate_rest(const struct deflate *d)
{
	return str_from_at(buf_str(&d->packed), d->at);
}
