/* SPDX-License-Identifier: ISC */
#include "codec/mail/base64.h"

static const char alphabet[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void encode_group(const unsigned char *p, size_t n, char out[4])
{
	unsigned v = (unsigned)p[0] << 16 | (n > 1 ? (unsigned)p[1] << 8 : 0) |
		     (n > 2 ? p[2] : 0u);

	out[0] = alphabet[v >> 18];
	out[1] = alphabet[v >> 12 & 63];
	out[2] = n > 1 ? alphabet[v >> 6 & 63] : '=';
	out[3] = n > 2 ? alphabet[v & 63] : '=';
}

void base64_encode(struct str in, struct buf *out)
{
	const unsigned char *p = (const unsigned char *)in.ptr;

	for (size_t i = 0; i < in.len; i += 3) {
		char group[4];

		encode_group(p + i, in.len - i, group);
		buf_put_mem(out, group, 4);
	}
}

struct str base64_encode_a(struct str in, struct arena *a)
{
	struct buf b CLEANUP(buf_fini);

	buf_init(&b, in.len / 3 * 4 + 8);
	base64_encode(in, &b);
	return arena_str(a, buf_str(&b));
}

void base64_encode_lines(struct str in, struct buf *out)
{
	for (size_t i = 0; i < in.len; i += 57) {
		base64_encode(str_sub(in, i, 57), out);
		buf_put_mem(out, "\r\n", 2);
	}
}

static int value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool base64_decode(struct str in, struct arena *a, struct str *out_r)
{
	char *out = arena_alloc(a, in.len / 4 * 3 + 1);
	size_t n = 0;

	if (in.len % 4 != 0)
		return false;
	for (size_t i = 0; i < in.len; i += 4) {
		const char *p = in.ptr + i;
		bool last = i + 4 == in.len;
		int pad = last && p[3] == '=' ? (p[2] == '=' ? 2 : 1) : 0;
		int v[4] = {value_of(p[0]), value_of(p[1]),
			pad > 1 ? 0 : value_of(p[2]),
			pad > 0 ? 0 : value_of(p[3])};

		if (v[0] < 0 || v[1] < 0 || v[2] < 0 || v[3] < 0)
			return false;
		if ((pad == 2 && (v[1] & 15) != 0) ||
			(pad == 1 && (v[2] & 3) != 0))
			return false;
		unsigned word = (unsigned)v[0] << 18 | (unsigned)v[1] << 12 |
				(unsigned)v[2] << 6 | (unsigned)v[3];
		out[n++] = (char)(word >> 16);
		if (pad < 2)
			out[n++] = (char)(word >> 8);
		if (pad < 1)
			out[n++] = (char)word;
	}
	*out_r = str_of(out, n);
	return true;
}

void base64_decode_body(struct str in, struct buf *out)
{
	unsigned word = 0;
	unsigned bits = 0;

	for (size_t i = 0; i < in.len && in.ptr[i] != '='; i++) {
		int v = value_of(in.ptr[i]);

		if (v < 0)
			continue;
		word = word << 6 | (unsigned)v;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			buf_putc(out, (char)(word >> bits));
		}
	}
}

static void qp_escape(unsigned char c, struct buf *out)
{
	static const char hex[] = "0123456789ABCDEF";
	char text[3] = {'=', hex[c >> 4], hex[c & 15]};

	buf_put_mem(out, text, 3);
}

void qp_encode(struct str in, struct buf *out)
{
	while (str_present(in) && in.len > 0) {
		struct str line = str_cut(&in, '\n');
		bool more = str_present(in);
		size_t column = 0;

		if (more && line.len > 0 && line.ptr[line.len - 1] == '\r')
			line.len--;
		for (size_t i = 0; i < line.len; i++) {
			unsigned char c = (unsigned char)line.ptr[i];
			bool blank = c == ' ' || c == '\t';
			bool plain = (c > 0x20 && c < 0x7f && c != '=') ||
				     (blank && i + 1 < line.len);

			/* A leading dot and "From " are kept off line starts.
			 */
			plain = plain && !(i == 0 && (c == '.' || c == 'F'));
			if (column + (plain ? 1u : 3u) > 75) {
				buf_puts(out, "=\r\n");
				column = 0;
			}
			if (plain)
				buf_putc(out, (char)c);
			else
				qp_escape(c, out);
			column += plain ? 1 : 3;
		}
		if (more)
			buf_puts(out, "\r\n");
	}
}

void qp_decode(struct str in, struct buf *out)
{
	for (size_t i = 0; i < in.len; i++) {
		if (in.ptr[i] != '=') {
			buf_putc(out, in.ptr[i]);
			continue;
		}
		struct str rest = str_from_at(in, i + 1);
		if (rest.len >= 2 && ascii_hex(rest.ptr[0]) >= 0 &&
			ascii_hex(rest.ptr[1]) >= 0) {
			buf_putc(out, (char)(ascii_hex(rest.ptr[0]) * 16 +
					      ascii_hex(rest.ptr[1])));
			i += 2;
		} else if (str_starts(rest, "\r\n")) {
			i += 2;
		} else if (str_starts(rest, "\n")) {
			i += 1;
		} else {
			buf_putc(out, '=');
		}
	}
}
