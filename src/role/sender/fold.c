/* SPDX-License-Identifier: ISC */
/* smtp_line_length_limit: lines that other servers refuse are broken, by CRLF
 * and a blank; RFC 5321 4.5.3.1.6. */
#include <string.h>

#include "codec/mail/header.h"
#include "role/sender/sender.h"

enum { PIECE_BYTES = 1 << 20 };

/* The length of the line that s begins with, without its end. */
static size_t line_length(struct str s)
{
	const char *lf = memchr(s.ptr, '\n', s.len);
	size_t n = lf != NULL ? (size_t)(lf - s.ptr) : s.len;

	return n > 0 && s.ptr[n - 1] == '\r' ? n - 1 : n;
}

static bool has_long_line(struct str message, size_t limit)
{
	while (message.len > limit) {
		const char *lf = memchr(message.ptr, '\n', message.len);

		if (line_length(message) > limit)
			return true;
		if (lf == NULL)
			return false;
		message = str_from_at(message, (size_t)(lf - message.ptr) + 1);
	}
	return false;
}

/* No more than limit, and no octets of one UTF-8 character in two lines. */
static size_t piece_length(struct str line, size_t limit)
{
	size_t n = limit;

	while (n > limit - 4 && n > 1 &&
		((unsigned char)line.ptr[n] & 0xc0) == 0x80)
		n--;
	return n;
}

static bool put_line(
	struct str line, size_t limit, int fd, struct buf *out, struct fault *f)
{
	size_t length = line_length(line), room = limit;

	while (length > room) {
		size_t n = piece_length(line, room);

		buf_put(out, str_sub(line, 0, n));
		buf_puts(out, "\r\n ");
		line = str_from_at(line, n);
		length -= n;
		room = limit - 1; /* behind the blank */
	}
	buf_put(out, line);
	if (out->len < PIECE_BYTES)
		return true;
	bool ok = file_write(fd, buf_str(out), f);
	buf_reset(out);
	return ok;
}

bool sender_fold(struct str message, int64_t limit, struct file_map *map,
	struct str *message_r, struct fault *f)
{
	struct buf out CLEANUP(buf_fini);
	struct str head, body;

	*message_r = message;
	/* Less than that is no line. */
	if (limit <= 0 || !has_long_line(message, (size_t)limit))
		return true;
	if (limit < 40)
		limit = 40;
	/* Who signed it as it is has more to lose. */
	mail_split(message, &head, &body);
	if (str_present(mail_field_value(head, "DKIM-Signature")))
		return true;
	int fd CLEANUP(fd_close) = file_memory(STR(""), f);
	if (fd < 0)
		return false;
	buf_init(&out, SIZE_MAX);
	for (struct str rest = message; rest.len > 0;) {
		const char *lf = memchr(rest.ptr, '\n', rest.len);
		size_t n = lf != NULL ? (size_t)(lf - rest.ptr) + 1 : rest.len;

		if (!put_line(str_sub(rest, 0, n), (size_t)limit, fd, &out, f))
			return false;
		rest = str_from_at(rest, n);
	}
	if (!file_write(fd, buf_str(&out), f) || !file_map_fd(fd, map, f))
		return false;
	*message_r = map->bytes;
	return true;
}
