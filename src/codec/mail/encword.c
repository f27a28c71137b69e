/* SPDX-License-Identifier: ISC */
#include "codec/mail/encword.h"

#include "base/utf8.h"
#include "codec/mail/base64.h"
#include "codec/mail/charset.h"
#include "codec/mail/header.h"

/* Windows-1252 0x80..0x9f; ISO-8859-1 is read the same way, as browsers do */
/* Q encoding, RFC 2047 4.2: "_" is a blank */
static void q_decode(struct str in, struct buf *out)
{
	for (size_t i = 0; i < in.len; i++) {
		if (in.ptr[i] == '_')
			buf_putc(out, ' ');
		else if (in.ptr[i] == '=' && i + 2 < in.len) {
			qp_decode(str_sub(in, i, 3), out);
			i += 2;
		} else {
			buf_putc(out, in.ptr[i]);
		}
	}
}

/* encoded-word = "=?" charset "?" encoding "?" text "?=" */
static size_t decode_word(struct str s, struct buf *out)
{
	if (!str_starts(s, "=?"))
		return 0;
	struct str rest = str_from_at(s, 2);
	struct str charset = str_cut(&rest, '?');
	struct str encoding = str_cut(&rest, '?');
	if (!str_present(rest) || encoding.len != 1 || charset.len == 0)
		return 0;
	ptrdiff_t end = str_find(rest, '?');
	if (end < 0 || (size_t)end + 1 >= rest.len || rest.ptr[end + 1] != '=')
		return 0;
	struct str text = str_sub(rest, 0, (size_t)end);
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.ptr[i] <= 0x20)
			return 0;
	/* RFC 2231 5: language after "*" */
	charset = str_cut(&charset, '*');
	struct buf bytes CLEANUP(buf_fini);
	buf_init(&bytes, text.len + 16);
	if (ascii_lower(encoding.ptr[0]) == 'b')
		base64_decode_body(text, &bytes);
	else if (ascii_lower(encoding.ptr[0]) == 'q')
		q_decode(text, &bytes);
	else
		return 0;
	if (!charset_to_utf8(charset, buf_str(&bytes), out))
		return 0;
	return (size_t)(text.ptr + text.len + 2 - s.ptr);
}

struct str encword_decode(struct str value, struct arena *a)
{
	struct str s = mail_unfold(value, a);
	struct buf out CLEANUP(buf_fini);
	size_t word_end = 0; /* output length just after an encoded word */
	bool after_word = false;

	buf_init(&out, s.len * 3 + 16);
	while (s.len > 0) {
		size_t before = out.len;
		size_t n = decode_word(s, &out);

		if (n > 0) {
			/* Blanks between two encoded words vanish. */
			if (after_word && word_end < before) {
				size_t gap = before - word_end;

				for (size_t i = before; i < out.len; i++)
					out.data[i - gap] = out.data[i];
				buf_truncate(&out, out.len - gap);
			}
			after_word = true;
			word_end = out.len;
			s = str_from_at(s, n);
			continue;
		}
		if (s.ptr[0] != ' ')
			after_word = false;
		buf_putc(&out, s.ptr[0]);
		s = str_from_at(s, 1);
	}
	return arena_str(a, buf_str(&out));
}

static bool needs_encoding(struct str text)
{
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];

		if (c >= 0x7f || c < 0x20)
			return true;
	}
	return str_isearch(text, STR("=?")) >= 0;
}

/* Bytes of text whose base64 fits in n characters, cut between characters. */
static size_t fitting(struct str text, size_t n)
{
	size_t bytes = n / 4 * 3;
	size_t used = 0;

	while (used < text.len) {
		uint32_t c;
		size_t len = utf8_decode(str_from_at(text, used), &c);

		if (len == 0)
			len = 1;
		if (used + len > bytes)
			break;
		used += len;
	}
	return used;
}

static void put_plain(struct str text, size_t column, struct buf *out)
{
	bool first = true;

	while (str_present(text)) {
		struct str word = str_cut(&text, ' ');

		if (!first) {
			bool fold = column + word.len + 1 > 76 && word.len > 0;

			buf_puts(out, fold ? "\r\n " : " ");
			column = fold ? 1 : column + 1;
		}
		buf_put(out, word);
		column += word.len;
		first = false;
	}
}

void encword_put(struct str text, size_t column, struct buf *out)
{
	enum { FRAME = 12 }; /* =?UTF-8?B? ?= */

	if (!needs_encoding(text)) {
		put_plain(text, column, out);
		return;
	}
	while (text.len > 0) {
		size_t room = column < 60 ? 75 - column - FRAME : 8;
		size_t n = fitting(text, room < 8 ? 8 : room);

		if (n == 0)
			n = 1;
		buf_puts(out, "=?UTF-8?B?");
		base64_encode(str_sub(text, 0, n), out);
		buf_puts(out, "?=");
		text = str_from_at(text, n);
		if (text.len > 0)
			buf_puts(out, "\r\n ");
		column = 1;
	}
}

void encword_put_phrase(struct str name, size_t column, struct buf *out)
{
	if (!utf8_is_ascii(name)) {
		encword_put(name, column, out);
		return;
	}
	buf_putc(out, '"');
	for (size_t i = 0; i < name.len; i++) {
		if (name.ptr[i] == '"' || name.ptr[i] == '\\')
			buf_putc(out, '\\');
		buf_putc(out, name.ptr[i]);
	}
	buf_putc(out, '"');
}
