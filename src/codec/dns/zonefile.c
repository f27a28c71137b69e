/* SPDX-License-Identifier: ISC */
#include "codec/dns/zonefile.h"

enum { STRING_MAX = 255 };

void zonefile_put(struct buf *out, struct str name, unsigned ttl,
	const char *type, struct str data)
{
	buf_putf(out, "%.*s. %u IN %s %.*s\n", STR_ARG(name), ttl, type,
		STR_ARG(data));
}

static void put_string(struct buf *out, struct str s)
{
	buf_putc(out, '"');
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];

		if (c < 0x20 || c >= 0x7f) {
			buf_putf(out, "\\%03u", c);
			continue;
		}
		if (c == '"' || c == '\\')
			buf_putc(out, '\\');
		buf_putc(out, (char)c);
	}
	buf_putc(out, '"');
}

void zonefile_put_txt(
	struct buf *out, struct str name, unsigned ttl, struct str text)
{
	struct buf data CLEANUP(buf_fini);

	buf_init(&data, text.len * 5 + 64);
	for (size_t at = 0; at == 0 || at < text.len; at += STRING_MAX) {
		if (at > 0)
			buf_putc(&data, ' ');
		put_string(&data, str_sub(text, at, STRING_MAX));
	}
	zonefile_put(out, name, ttl, "TXT", buf_str(&data));
}
