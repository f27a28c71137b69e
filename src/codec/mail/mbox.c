/* SPDX-License-Identifier: ISC */
#include "codec/mail/mbox.h"

#include <time.h>

#include "codec/mail/date.h"
#include "codec/mail/header.h"

static struct str line_of(struct str s)
{
	ptrdiff_t nl = str_find(s, '\n');

	return nl < 0 ? s : str_sub(s, 0, (size_t)nl + 1);
}

static struct str chomp(struct str line)
{
	if (str_ends(line, "\n"))
		line.len--;
	if (str_ends(line, "\r"))
		line.len--;
	return line;
}

/* ---- "From sender Thu Nov 26 18:03:29 2026" ---- */

static bool is_month(struct str word)
{
	static const char months[] = "janfebmaraprmayjunjulaugsepoctnovdec";

	for (size_t i = 0; i + 3 <= sizeof(months) - 1; i += 3)
		if (str_ieq(word, str_of(months + i, 3)))
			return true;
	return false;
}

/* The zone may stand in front of the year, behind it, or nowhere. */
static bool read_date(struct str line, int64_t *at_r)
{
	struct str month = STR_NONE, day = STR_NONE, time = STR_NONE;
	struct str year = STR_NONE, zone = STR("+0000"), word;
	char text[64];
	struct buf b;
	int minutes;

	while (str_present(word = str_word(&line, " \t\r\n"))) {
		uint64_t n;
		bool number = str_u64(word, &n);

		/* A sender may be called "Mar". */
		if (!str_present(month) || (!str_present(day) && !number)) {
			month = is_month(word) ? word : STR_NONE;
		} else if (!str_present(day)) {
			day = word;
		} else if (!str_present(time)) {
			time = word;
		} else if (word.len == 4 && number) {
			year = word;
		} else if (word.len == 5 &&
			   (word.ptr[0] == '+' || word.ptr[0] == '-')) {
			zone = word;
		}
	}
	if (!str_present(year) || day.len > 2 || time.len > 8)
		return false;
	buf_init(&b, sizeof(text));
	buf_putf(&b, "%.*s %.*s %.*s %.*s %.*s", STR_ARG(day), STR_ARG(month),
		STR_ARG(year), STR_ARG(time), STR_ARG(zone));
	bool ok = mail_date_parse(buf_str(&b), at_r, &minutes);
	buf_fini(&b);
	return ok;
}

static bool is_from_line(struct str line)
{
	int64_t at;

	return str_starts(line, "From ") && read_date(line, &at);
}

bool mbox_begins(struct str file)
{
	return is_from_line(line_of(file));
}

/* The first "From " line behind a blank one; the end without. */
static size_t message_length(struct str s)
{
	size_t at = 0;
	bool blank = false;

	while (at < s.len) {
		struct str rest = str_from_at(s, at), line = line_of(rest);

		if (blank && is_from_line(line))
			return at;
		blank = chomp(line).len == 0;
		at += line.len;
	}
	return s.len;
}

bool mbox_next(struct str *rest, struct mbox_message *m_r)
{
	/* What stands in front of the first is no message. */
	while (rest->len > 0 && !is_from_line(line_of(*rest)))
		*rest = str_from_at(*rest, line_of(*rest).len);
	if (rest->len == 0)
		return false;
	struct str from = line_of(*rest);
	*m_r = (struct mbox_message){0};
	m_r->dated = read_date(from, &m_r->received);
	*rest = str_from_at(*rest, from.len);
	size_t n = message_length(*rest);
	struct str bytes = str_sub(*rest, 0, n);
	*rest = str_from_at(*rest, n);
	/* The blank line behind a message is none of its lines. */
	if (str_ends(bytes, "\n\r\n"))
		bytes.len -= 2;
	else if (str_ends(bytes, "\n\n"))
		bytes.len--;
	m_r->bytes = bytes;
	return true;
}

/* ---- fields of the header that are none of the message ---- */

static bool take_status(struct str value, struct mbox_status *s)
{
	for (size_t i = 0; i < value.len; i++)
		switch (value.ptr[i]) {
		case 'R':
			s->marks.seen = true;
			break;
		case 'A':
			s->marks.answered = true;
			break;
		case 'F':
			s->marks.flagged = true;
			break;
		case 'D':
			s->marks.deleted = true;
			break;
		case 'T':
			s->marks.draft = true;
			break;
		default: /* "O": it is not recent */
			break;
		}
	return true;
}

static bool take_keywords(
	struct str value, struct mbox_status *s, struct arena *a)
{
	struct str word;

	while (str_present(word = str_word(&value, " \t\r\n")))
		if (!strs_has(&s->keywords, word))
			strs_add(&s->keywords, a, arena_str(a, word));
	return true;
}

/* "X-IMAPbase: UIDVALIDITY LASTUID keywords" */
static bool take_base(struct str value, struct mbox_status *s, bool pseudo)
{
	uint64_t n;

	if (str_u64(str_word(&value, " \t\r\n"), &n) && n <= UINT32_MAX)
		s->uidvalidity = (uint32_t)n;
	s->pseudo |= pseudo;
	return true;
}

/* Bits of Thunderbird, base 16 */
static bool take_mozilla(struct str value, struct mbox_status *s)
{
	unsigned bits = 0;

	for (size_t i = 0; i < value.len && ascii_hex(value.ptr[i]) >= 0; i++)
		bits = bits << 4 | (unsigned)ascii_hex(value.ptr[i]);
	s->marks.seen |= (bits & 1) != 0;
	s->marks.answered |= (bits & 2) != 0;
	s->marks.flagged |= (bits & 4) != 0;
	s->marks.deleted |= (bits & 8) != 0;
	s->marks.forwarded |= (bits & 0x1000) != 0;
	return true;
}

static bool take_uid(struct str value, struct mbox_status *s)
{
	uint64_t n;

	if (str_u64(value, &n) && n > 0 && n <= UINT32_MAX)
		s->uid = (uint32_t)n;
	return true;
}

static bool take_field(
	const struct mail_field *f, struct mbox_status *s, struct arena *a)
{
	if (str_ieqc(f->name, "Status") || str_ieqc(f->name, "X-Status"))
		return take_status(f->value, s);
	if (str_ieqc(f->name, "X-Keywords") ||
		str_ieqc(f->name, "X-Mozilla-Keys"))
		return take_keywords(f->value, s, a);
	if (str_ieqc(f->name, "X-UID"))
		return take_uid(f->value, s);
	if (str_ieqc(f->name, "X-IMAPbase"))
		return take_base(f->value, s, false);
	if (str_ieqc(f->name, "X-IMAP"))
		return take_base(f->value, s, true);
	if (str_ieqc(f->name, "X-Mozilla-Status"))
		return take_mozilla(f->value, s);
	return str_ieqc(f->name, "X-Mozilla-Status2") ||
	       str_ieqc(f->name, "Content-Length");
}

/* ---- the two forms ---- */

static bool is_quoted(struct str line)
{
	while (str_starts(line, ">"))
		line = str_from_at(line, 1);
	return str_starts(line, "From ");
}

static void put_lines(struct str text, struct buf *out)
{
	while (text.len > 0) {
		struct str line = line_of(text);

		text = str_from_at(text, line.len);
		line = chomp(line);
		if (str_starts(line, ">") && is_quoted(line))
			line = str_from_at(line, 1);
		buf_put(out, line);
		buf_puts(out, "\r\n");
	}
}

void mbox_unpack(struct str bytes, struct arena *a, struct buf *out,
	struct mbox_status *status_r)
{
	struct mail_field field;

	*status_r = (struct mbox_status){0};
	while (bytes.len > 0 && chomp(line_of(bytes)).len > 0) {
		struct str line = line_of(bytes);

		if (!mail_field_next(&bytes, &field))
			bytes = str_from_at(bytes, line.len);
		else if (take_field(&field, status_r, a))
			continue;
		else
			line = field.whole;
		put_lines(line, out);
	}
	put_lines(bytes, out);
}

static void put_field_status(const struct mbox_entry *e, struct buf *out)
{
	const struct marks *m = &e->status.marks;

	buf_putf(out, "Status: %sO\n", m->seen ? "R" : "");
	if (m->answered || m->flagged || m->deleted || m->draft)
		buf_putf(out, "X-Status: %s%s%s%s\n", m->answered ? "A" : "",
			m->flagged ? "F" : "", m->deleted ? "D" : "",
			m->draft ? "T" : "");
	if (e->status.keywords.n > 0 || m->forwarded) {
		buf_puts(out, "X-Keywords:");
		if (m->forwarded)
			buf_puts(out, " $Forwarded");
		for (size_t i = 0; i < e->status.keywords.n; i++) {
			buf_putc(out, ' ');
			buf_put(out, e->status.keywords.v[i]);
		}
		buf_putc(out, '\n');
	}
	if (e->status.uidvalidity != 0)
		buf_putf(out, "X-IMAPbase: %u %u\n", e->status.uidvalidity,
			e->status.uid);
	if (e->status.uid != 0)
		buf_putf(out, "X-UID: %u\n", e->status.uid);
}

static void pack_lines(struct str text, struct buf *out)
{
	while (text.len > 0) {
		struct str line = line_of(text);

		text = str_from_at(text, line.len);
		if (is_quoted(line))
			buf_putc(out, '>');
		buf_put(out, chomp(line));
		buf_putc(out, '\n');
	}
}

void mbox_pack(const struct mbox_entry *e, struct buf *out)
{
	struct str rest = e->message;
	struct mbox_status ignored = {0};
	struct mail_field field;
	struct arena *a = arena_new(SIZE_MAX);
	time_t at = (time_t)e->received;
	struct tm tm = {0};
	char date[64];

	gmtime_r(&at, &tm);
	strftime(date, sizeof(date), "%a %b %e %H:%M:%S %Y", &tm);
	buf_putf(out, "From %.*s %s\n",
		STR_ARG(e->sender.len > 0 ? e->sender : STR("MAILER-DAEMON")),
		date);
	/* What somebody else's mbox left in it would be taken for ours. */
	while (rest.len > 0 && chomp(line_of(rest)).len > 0) {
		struct str line = line_of(rest);

		if (!mail_field_next(&rest, &field))
			rest = str_from_at(rest, line.len);
		else if (take_field(&field, &ignored, a))
			continue;
		else
			line = field.whole;
		pack_lines(line, out);
	}
	put_field_status(e, out);
	if (rest.len == 0)
		buf_putc(out, '\n');
	pack_lines(rest, out);
	buf_putc(out, '\n');
	arena_free(a);
}
