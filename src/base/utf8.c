/* SPDX-License-Identifier: ISC */
#include "base/utf8.h"

size_t utf8_decode(struct str s, uint32_t *char_r)
{
	if (s.len == 0)
		return 0;
	unsigned char b = (unsigned char)s.ptr[0];
	if (b < 0x80) {
		*char_r = b;
		return 1;
	}
	size_t n = b >= 0xf0 && b < 0xf5   ? 4
		   : b >= 0xe0 && b < 0xf0 ? 3
		   : b >= 0xc2 && b < 0xe0 ? 2
					   : 0;
	if (n == 0 || s.len < n)
		return 0;
	uint32_t c = n == 2 ? b & 0x1fu : n == 3 ? b & 0x0fu : b & 0x07u;
	for (size_t i = 1; i < n; i++) {
		unsigned char x = (unsigned char)s.ptr[i];

		if ((x & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (x & 0x3fu);
	}
	if ((n == 3 && c < 0x800) || (n == 4 && c < 0x10000) || c > 0x10ffff ||
		(c >= 0xd800 && c <= 0xdfff))
		return 0;
	*char_r = c;
	return n;
}

size_t utf8_encode(uint32_t c, char out[4])
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3f));
		out[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3f));
	out[2] = (char)(0x80 | (c >> 6 & 0x3f));
	out[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

bool utf8_valid(struct str s)
{
	uint32_t c;

	while (s.len > 0) {
		size_t n = utf8_decode(s, &c);

		if (n == 0)
			return false;
		s = str_from_at(s, n);
	}
	return true;
}

bool utf8_is_ascii(struct str s)
{
	enum { BLOCK = 64 }; /* of a known length: many at once */
	unsigned char all = 0;
	size_t i = 0;

	for (; s.len - i >= BLOCK && all < 0x80; i += BLOCK)
		for (size_t j = 0; j < BLOCK; j++)
			all |= (unsigned char)s.ptr[i + j];
	for (; i < s.len; i++)
		all |= (unsigned char)s.ptr[i];
	return all < 0x80;
}
