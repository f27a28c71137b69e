/* SPDX-License-Identifier: ISC */
#include "codec/mail/uri.h"

#include "base/buf.h"

struct str uri_escape(struct str s, struct arena *a)
{
	struct buf b CLEANUP(buf_fini);

	buf_init(&b, s.len * 3 + 1);
	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];

		if (ascii_is_alnum(c) || c == '-' || c == '.' || c == '_' ||
			c == '~')
			buf_putc(&b, c);
		else
			buf_putf(&b, "%%%02X", (unsigned char)c);
	}
	return arena_str(a, buf_str(&b));
}

struct str uri_unescape(struct str s, struct arena *a)
{
	char *out = arena_alloc(a, s.len + 1);
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++) {
		int high = s.ptr[i] == '%' && i + 2 < s.len
				   ? ascii_hex(s.ptr[i + 1])
				   : -1;
		int low = high >= 0 ? ascii_hex(s.ptr[i + 2]) : -1;

		if (low >= 0) {
			out[n++] = (char)(high << 4 | low);
			i += 2;
		} else {
			out[n++] = s.ptr[i];
		}
	}
	return str_of(out, n);
}
