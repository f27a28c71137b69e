/* SPDX-License-Identifier: ISC */
#include "codec/imap/utf7.h"

#include "base/buf.h"
#include "base/utf8.h"

static const char alphabet[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

static int value_of(char c)
{
	for (int i = 0; i < 64; i++)
		if (alphabet[i] == c)
			return i;
	return -1;
}

static bool put_char(uint32_t c, struct buf *out)
{
	char utf8[4];

	/* What can be written plainly must be: RFC 3501 5.1.3 */
	if ((c >= 0x20 && c <= 0x7e) || c == 0)
		return false;
	buf_put_mem(out, utf8, utf8_encode(c, utf8));
	return true;
}

/* The base64 run between "&" and "-". */
static bool decode_run(struct str run, struct buf *out)
{
	uint32_t word = 0, high = 0;
	unsigned bits = 0;

	for (size_t i = 0; i < run.len; i++) {
		int v = value_of(run.ptr[i]);

		if (v < 0)
			return false;
		word = (word << 6 | (uint32_t)v) & 0xffffff;
		bits += 6;
		if (bits < 16)
			continue;
		bits -= 16;
		uint32_t unit = word >> bits & 0xffff;
		if (unit >= 0xd800 && unit < 0xdc00) {
			if (high != 0)
				return false;
			high = unit;
			continue;
		}
		if (unit >= 0xdc00 && unit < 0xe000) {
			if (high == 0)
				return false;
			unit = 0x10000 +
			       ((high & 0x3ff) << 10 | (unit & 0x3ff));
			high = 0;
		} else if (high != 0) {
			return false;
		}
		if (!put_char(unit, out))
			return false;
	}
	return high == 0 && bits < 6 && (word & ((1u << bits) - 1)) == 0;
}

bool imap_utf7_decode(struct str name, struct arena *a, struct str *utf8_r)
{
	struct buf out CLEANUP(buf_fini);

	buf_init(&out, name.len * 3 + 16);
	while (name.len > 0) {
		char c = name.ptr[0];

		name = str_from_at(name, 1);
		if ((unsigned char)c < 0x20 || (unsigned char)c > 0x7e)
			return false;
		if (c != '&') {
			buf_putc(&out, c);
			continue;
		}
		ptrdiff_t end = str_find(name, '-');
		if (end < 0)
			return false;
		if (end == 0)
			buf_putc(&out, '&');
		else if (!decode_run(str_sub(name, 0, (size_t)end), &out))
			return false;
		name = str_from_at(name, (size_t)end + 1);
	}
	*utf8_r = arena_str(a, buf_str(&out));
	return true;
}

struct run {
	uint32_t word;
	unsigned bits;
};

static void put_unit(struct run *r, uint32_t unit, struct buf *out)
{
	r->word = (r->word << 16 | unit);
	r->bits += 16;
	while (r->bits >= 6) {
		r->bits -= 6;
		buf_putc(out, alphabet[r->word >> r->bits & 63]);
	}
	r->word &= (1u << r->bits) - 1;
}

static void end_run(struct run *r, struct buf *out)
{
	if (r->bits > 0)
		buf_putc(out, alphabet[r->word << (6 - r->bits) & 63]);
	buf_putc(out, '-');
	*r = (struct run){0};
}

struct str imap_utf7_encode(struct str utf8, struct arena *a)
{
	struct buf out CLEANUP(buf_fini);
	struct run run = {0};
	bool in_run = false;

	buf_init(&out, utf8.len * 5 + 16);
	while (utf8.len > 0) {
		uint32_t c;
		size_t n = utf8_decode(utf8, &c);

		if (n == 0) {
			n = 1;
			c = 0xfffd;
		}
		utf8 = str_from_at(utf8, n);
		bool plain = c >= 0x20 && c <= 0x7e;
		if (plain && in_run) {
			end_run(&run, &out);
			in_run = false;
		}
		if (plain) {
			buf_putc(&out, (char)c);
			if (c == '&')
				buf_putc(&out, '-');
			continue;
		}
		if (!in_run)
			buf_putc(&out, '&');
		in_run = true;
		if (c >= 0x10000) {
			c -= 0x10000;
			put_unit(&run, 0xd800 | c >> 10, &out);
			c = 0xdc00 | (c & 0x3ff);
		}
		put_unit(&run, c, &out);
	}
	if (in_run)
		end_run(&run, &out);
	return arena_str(a, buf_str(&out));
}
