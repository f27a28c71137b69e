/* SPDX-License-Identifier: ISC */
/* UIDBATCHES, RFC 10022: the mailbox in pieces of so many messages each, from
 * the newest down, so that a client need not ask for all UIDs to cut them. */
#include "role/mailbox/imap/imap.h"

struct batches {
	uint32_t size;
	uint32_t first, last; /* which of them; from 1 */
};

/* size [SP first:last] */
static bool parse(struct imap_in *in, struct batches *b)
{
	*b = (struct batches){.first = 1, .last = UINT32_MAX};
	if (!imap_number(in, &b->size) || b->size == 0)
		return false;
	if (!imap_space(in))
		return imap_end(in);
	return imap_number(in, &b->first) && imap_char(in, ':') &&
	       imap_number(in, &b->last) && imap_end(in) && b->first > 0 &&
	       b->last >= b->first;
}

/* "163886:99703,99696:20358": the highest UID of each, and its lowest */
static void put(const struct batches *b, const uint32_t *uids, size_t n,
	struct buf *out)
{
	uint64_t passed = (uint64_t)(b->first - 1) * b->size;
	size_t left = passed < n ? n - (size_t)passed : 0;

	for (uint64_t i = b->first; left > 0 && i <= b->last; i++) {
		size_t size = left < b->size ? left : b->size;

		buf_putc(out, i == b->first ? ' ' : ',');
		buf_put_u64(out, uids[left - 1]);
		buf_putc(out, ':');
		left -= size;
		buf_put_u64(out, uids[left]);
	}
}

void imap_uidbatches(struct imap *s, struct imap_in *in)
{
	struct batches b;
	struct view_walk *w;
	size_t n;

	if (!parse(in, &b)) {
		imap_bad(s, "UIDBATCHES needs a number of messages, and may "
			    "say which batches: 1:10");
		return;
	}
	if (!imap_within_limit(s, b.size))
		return;
	view_walk_all(s, &w);
	const uint32_t *uids = view_uids(w, &n);
	struct buf out CLEANUP(buf_fini);
	buf_init(&out, SIZE_MAX);
	buf_putf(&out, "* UIDBATCHES (TAG \"%.*s\")", STR_ARG(s->tag));
	put(&b, uids, n, &out);
	buf_puts(&out, "\r\n");
	stream_put(s->stream, buf_str(&out));
	imap_ok(s, "Batches completed");
}
