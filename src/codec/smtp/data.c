/* SPDX-License-Identifier: ISC */
#include "codec/smtp/data.h"

#include <string.h>

#include "base/utf8.h"

enum { RUN_MAX = 1024 };

void smtp_data_init(struct smtp_data *d)
{
	*d = (struct smtp_data){.state = SMTP_DATA_LINE_START};
}

static void note_line_end(struct smtp_data *d)
{
	if (d->line_length > d->longest_line)
		d->longest_line = d->line_length;
	d->line_length = 0;
}

static void take_text(struct smtp_data *d, char c, struct buf *out)
{
	if (c == '\r') {
		d->state = SMTP_DATA_CR;
		return;
	}
	if (c == '\n')
		d->bare_newline = true;
	d->has_nul |= c == '\0';
	d->has_8bit |= (unsigned char)c >= 0x80;
	d->line_length++;
	d->state = SMTP_DATA_TEXT;
	buf_putc(out, c);
}

static size_t before(const char *p, size_t n, char c)
{
	const char *at = n > 0 ? memchr(p, c, n) : NULL;

	return at != NULL ? (size_t)(at - p) : n;
}

/* A run of plain bytes, the common case, is copied at once.  It is bounded:
 * who sends one special byte after the other makes us look ahead for each. */
static size_t take_run(struct smtp_data *d, struct str in, struct buf *out)
{
	size_t n = in.len < RUN_MAX ? in.len : RUN_MAX;

	n = before(in.ptr, n, '\r');
	n = before(in.ptr, n, '\n');
	n = before(in.ptr, n, '\0');
	d->has_8bit = d->has_8bit || !utf8_is_ascii(str_of(in.ptr, n));
	d->line_length += n;
	buf_put_mem(out, in.ptr, n);
	return n;
}

size_t smtp_data_feed(struct smtp_data *d, struct str in, struct buf *out)
{
	size_t i = 0;

	while (i < in.len) {
		char c = in.ptr[i];

		switch (d->state) {
		case SMTP_DATA_END:
			return i;
		case SMTP_DATA_LINE_START:
			i++;
			if (c == '.')
				d->state = SMTP_DATA_DOT;
			else
				take_text(d, c, out);
			break;
		case SMTP_DATA_DOT:
			/* The dot was stuffing unless CRLF follows. */
			i++;
			if (c == '\r')
				d->state = SMTP_DATA_DOT_CR;
			else
				take_text(d, c, out);
			break;
		case SMTP_DATA_DOT_CR:
			if (c == '\n') {
				d->state = SMTP_DATA_END;
				return i + 1;
			}
			d->bare_newline = true;
			buf_putc(out, '\r');
			d->state = SMTP_DATA_TEXT;
			break;
		case SMTP_DATA_TEXT: {
			size_t n = take_run(d, str_from_at(in, i), out);

			i += n;
			if (n == 0) {
				i++;
				take_text(d, c, out);
			}
			break;
		}
		case SMTP_DATA_CR:
			if (c == '\n') {
				i++;
				buf_put_mem(out, "\r\n", 2);
				note_line_end(d);
				d->state = SMTP_DATA_LINE_START;
				break;
			}
			d->bare_newline = true;
			buf_putc(out, '\r');
			d->state = SMTP_DATA_TEXT;
			break;
		}
	}
	return i;
}

void smtp_chunk_feed(struct smtp_data *d, struct str in, struct buf *out)
{
	size_t i = 0;

	while (i < in.len) {
		char c = in.ptr[i];

		if (d->state == SMTP_DATA_CR && c == '\n') {
			buf_put_mem(out, "\r\n", 2);
			note_line_end(d);
			d->state = SMTP_DATA_LINE_START;
			i++;
			continue;
		}
		if (d->state == SMTP_DATA_CR) {
			d->bare_newline = true;
			buf_putc(out, '\r');
		}
		d->state = SMTP_DATA_TEXT;
		size_t n = take_run(d, str_from_at(in, i), out);
		i += n;
		if (n == 0) {
			take_text(d, c, out);
			i++;
		}
	}
}

void smtp_chunk_end(struct smtp_data *d, struct buf *out)
{
	if (d->state == SMTP_DATA_CR) {
		d->bare_newline = true;
		buf_putc(out, '\r');
	}
	if (d->state != SMTP_DATA_LINE_START)
		buf_put_mem(out, "\r\n", 2);
	note_line_end(d);
	d->state = SMTP_DATA_END;
}

void smtp_data_stuff(struct str in, bool *line_start, struct buf *out)
{
	while (in.len > 0) {
		ptrdiff_t nl = str_find(in, '\n');
		struct str line = nl < 0 ? in : str_sub(in, 0, (size_t)nl);

		if (*line_start && line.len > 0 && line.ptr[0] == '.')
			buf_putc(out, '.');
		if (nl < 0) {
			buf_put(out, line);
			*line_start = false;
			return;
		}
		if (line.len > 0 && line.ptr[line.len - 1] == '\r')
			line.len--;
		buf_put(out, line);
		buf_put_mem(out, "\r\n", 2);
		*line_start = true;
		in = str_from_at(in, (size_t)nl + 1);
	}
}
