/* SPDX-License-Identifier: ISC */
#include "codec/milter/packet.h"

#include <string.h>

/* ---- out ---- */

void milter_put_u32(struct buf *b, uint32_t n)
{
	unsigned char bytes[4] = {(unsigned char)(n >> 24),
		(unsigned char)(n >> 16), (unsigned char)(n >> 8),
		(unsigned char)n};

	buf_put_mem(b, bytes, sizeof(bytes));
}

void milter_put_u16(struct buf *b, unsigned n)
{
	buf_putc(b, (char)(n >> 8));
	buf_putc(b, (char)n);
}

void milter_put_str(struct buf *b, struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] != '\0')
			buf_putc(b, s.ptr[i]);
	buf_putc(b, '\0');
}

size_t milter_packet_begin(struct buf *b, enum milter_command command)
{
	size_t offset = b->len;

	milter_put_u32(b, 0);
	buf_putc(b, (char)command);
	return offset;
}

void milter_packet_end(struct buf *b, size_t offset)
{
	uint32_t n = (uint32_t)(b->len - offset - MILTER_HEAD_BYTES);
	unsigned char bytes[4] = {(unsigned char)(n >> 24),
		(unsigned char)(n >> 16), (unsigned char)(n >> 8),
		(unsigned char)n};

	if (!buf_over(b))
		memcpy(b->data + offset, bytes, sizeof(bytes));
}

/* ---- in ---- */

static uint32_t u32_at(const char *p)
{
	const unsigned char *u = (const unsigned char *)p;

	return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 |
	       (uint32_t)u[2] << 8 | u[3];
}

static bool take_u32(struct str *rest, uint32_t *n_r)
{
	if (rest->len < 4)
		return false;
	*n_r = u32_at(rest->ptr);
	*rest = str_from_at(*rest, 4);
	return true;
}

/* Up to its NUL, which must be there. */
static bool take_str(struct str *rest, struct str *s_r)
{
	ptrdiff_t end = str_find(*rest, '\0');

	if (end < 0)
		return false;
	*s_r = str_sub(*rest, 0, (size_t)end);
	*rest = str_from_at(*rest, (size_t)end + 1);
	return true;
}

uint32_t milter_packet_length(const char head[MILTER_HEAD_BYTES])
{
	uint32_t n = u32_at(head);

	return n <= MILTER_PACKET_MAX ? n : 0;
}

bool milter_options_parse(struct str data, struct milter_options *o_r)
{
	struct milter_options o = {0};
	struct str rest = data, names;
	uint32_t stage;

	if (!take_u32(&rest, &o.version) || !take_u32(&rest, &o.actions) ||
		!take_u32(&rest, &o.steps))
		return false;
	while (rest.len > 0) {
		if (!take_u32(&rest, &stage) || !take_str(&rest, &names))
			return false;
		if (stage < MILTER_STAGES)
			o.macros[stage] = names;
	}
	*o_r = o;
	return true;
}

static bool header(struct str rest, bool index, struct milter_reply *r)
{
	return (!index || take_u32(&rest, &r->index)) &&
	       take_str(&rest, &r->name) && take_str(&rest, &r->value) &&
	       rest.len == 0 && r->name.len > 0;
}

bool milter_reply_parse(struct str packet, struct milter_reply *r_r)
{
	struct milter_reply r = {0};
	struct str rest = str_from_at(packet, 1);

	if (packet.len == 0)
		return false;
	r.kind = packet.ptr[0];
	switch (r.kind) {
	case MILTER_SAYS_SHUTDOWN:
	case MILTER_SAYS_ACCEPT:
	case MILTER_SAYS_CONTINUE:
	case MILTER_SAYS_DISCARD:
	case MILTER_SAYS_CONNECT_FAIL:
	case MILTER_SAYS_PROGRESS:
	case MILTER_SAYS_REJECT:
	case MILTER_SAYS_SKIP:
	case MILTER_SAYS_TEMPFAIL:
		break;
	case MILTER_SAYS_REPLACE_BODY:
		r.text = rest;
		break;
	case MILTER_SAYS_ADD_RCPT:
	case MILTER_SAYS_DELETE_RCPT:
	case MILTER_SAYS_ADD_RCPT_ARGS:
	case MILTER_SAYS_CHANGE_FROM:
	case MILTER_SAYS_QUARANTINE:
	case MILTER_SAYS_REPLY_CODE:
		/* ESMTP arguments behind an address are not used here. */
		if (!take_str(&rest, &r.text))
			return false;
		break;
	case MILTER_SAYS_ADD_HEADER:
		if (!header(rest, false, &r))
			return false;
		break;
	case MILTER_SAYS_INSERT_HEADER:
	case MILTER_SAYS_CHANGE_HEADER:
		if (!header(rest, true, &r))
			return false;
		break;
	default:
		return false;
	}
	*r_r = r;
	return true;
}
