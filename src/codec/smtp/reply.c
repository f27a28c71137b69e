/* SPDX-License-Identifier: ISC */
#include "codec/smtp/reply.h"

void smtp_reply_init(struct smtp_reply *r)
{
	*r = (struct smtp_reply){0};
	buf_init(&r->text, SMTP_REPLY_TEXT_MAX);
}

void smtp_reply_fini(struct smtp_reply *r)
{
	buf_fini(&r->text);
}

static bool small_number(struct str *s, int *value_r)
{
	size_t n = 0;
	int v = 0;

	while (n < s->len && n < 3 && ascii_is_digit(s->ptr[n]))
		v = v * 10 + (s->ptr[n++] - '0');
	if (n == 0)
		return false;
	*s = str_from_at(*s, n);
	*value_r = v;
	return true;
}

static bool dot(struct str *s)
{
	if (s->len == 0 || s->ptr[0] != '.')
		return false;
	*s = str_from_at(*s, 1);
	return true;
}

bool smtp_enhanced_parse(
	struct str s, int *class_r, int *subject_r, int *detail_r)
{
	int class, subject, detail;

	if (!small_number(&s, &class) || !dot(&s) ||
		!small_number(&s, &subject) || !dot(&s) ||
		!small_number(&s, &detail))
		return false;
	if ((class != 2 && class != 4 && class != 5) ||
		(s.len > 0 && s.ptr[0] != ' '))
		return false;
	*class_r = class;
	*subject_r = subject;
	*detail_r = detail;
	return true;
}

struct str smtp_reply_line_text(struct str line)
{
	return str_trim(str_from_at(line, 4));
}

enum smtp_reply_state smtp_reply_feed(struct smtp_reply *r, struct str line)
{
	if (line.len < 3 || line.ptr[0] < '2' || line.ptr[0] > '5' ||
		!ascii_is_digit(line.ptr[1]) || !ascii_is_digit(line.ptr[2]))
		return SMTP_REPLY_BAD;
	bool more = line.len > 3 && line.ptr[3] == '-';
	if (line.len > 3 && !more && line.ptr[3] != ' ')
		return SMTP_REPLY_BAD;
	int code = (line.ptr[0] - '0') * 100 + (line.ptr[1] - '0') * 10 +
		   (line.ptr[2] - '0');
	if (++r->lines > SMTP_REPLY_LINES_MAX)
		return SMTP_REPLY_BAD;
	struct str text = smtp_reply_line_text(line);
	if (r->lines == 1) {
		smtp_enhanced_parse(text, &r->class, &r->subject, &r->detail);
		buf_putf(&r->text, "%d", code);
	}
	/* RFC 5321 4.2.1: the code of the last line counts. */
	r->code = code;
	if (text.len + 2 < r->text.max - r->text.len) {
		buf_putc(&r->text, ' ');
		for (size_t i = 0; i < text.len; i++) {
			unsigned char c = (unsigned char)text.ptr[i];

			buf_putc(&r->text,
				c < 0x20 || c == 0x7f ? '?' : (char)c);
		}
	}
	return more ? SMTP_REPLY_MORE : SMTP_REPLY_DONE;
}
