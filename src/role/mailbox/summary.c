/* SPDX-License-Identifier: ISC */
#include "role/mailbox/summary.h"

#include <string.h>

#include "base/utf8.h"
#include "codec/imap/structure.h"
#include "codec/mail/charset.h"
#include "codec/mail/date.h"
#include "codec/mail/header.h"
#include "codec/mail/mime.h"
#include "ipc/wire.h"

enum {
	VERSION = 2,
	PART_MAX = 4 << 20,
	REFERENCES_MAX = 4096,
	PREVIEW_CHARS = 200, /* RFC 8970 4 allows 256 */
	PREVIEW_PLAIN = 2048, /* of the text, as it is encoded */
	PREVIEW_HTML = 8192,
};

/* ---- THREADID ---- */

struct str message_ids(struct str value, struct arena *a)
{
	struct buf out CLEANUP(buf_fini);

	buf_init(&out, value.len + 2);
	while (str_present(value)) {
		struct str id;
		ptrdiff_t open = str_find(value, '<');

		if (open < 0)
			break;
		value = str_from_at(value, (size_t)open + 1);
		ptrdiff_t close = str_find(value, '>');
		if (close < 0)
			break;
		id = str_sub(value, 0, (size_t)close);
		value = str_from_at(value, (size_t)close + 1);
		if (id.len == 0 || id.len > 998)
			continue;
		if (out.len > 0)
			buf_putc(&out, ' ');
		for (size_t i = 0; i < id.len; i++)
			if ((unsigned char)id.ptr[i] > ' ')
				buf_putc(&out, id.ptr[i]);
	}
	return arena_str(a, buf_str(&out));
}

static uint64_t fnv(struct str s)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < s.len; i++)
		h = (h ^ (unsigned char)s.ptr[i]) * 0x100000001b3u;
	return h != 0 ? h : 1;
}

/* A conversation is named by the message that began it: the first of
 * References, else In-Reply-To, else itself.  0: no ids at all. */
static uint64_t thread_of(
	struct str references, struct str head, struct arena *a)
{
	const char *const fields[] = {"In-Reply-To", "Message-ID"};
	struct str rest = references;
	struct str first = str_word(&rest, " ");

	for (size_t i = 0; i < ARRAY_LEN(fields) && !str_present(first); i++) {
		rest = message_ids(mail_field_value(head, fields[i]), a);
		first = str_word(&rest, " ");
	}
	return str_present(first) ? fnv(first) : 0;
}

/* ---- PREVIEW ---- */

static const struct mime_part *first_text(
	const struct mime_part *part, const char *subtype)
{
	if (mime_is(part, "text", subtype) &&
		!str_ieqc(part->disposition.type, "attachment"))
		return part;
	if (mime_is(part, "message", NULL))
		return NULL;
	for (const struct mime_part *i = part->child; i != NULL; i = i->next) {
		const struct mime_part *found = first_text(i, subtype);

		if (found != NULL)
			return found;
	}
	return NULL;
}

/* Tags, comments, style and script go; entities of one letter or two come. */
static void strip_html(struct str in, struct buf *out)
{
	static const struct {
		const char *name;
		const char *text;
	} entities[] = {{"&nbsp;", " "}, {"&lt;", "<"}, {"&gt;", ">"},
		{"&quot;", "\""}, {"&amp;", "&"}, {"&#39;", "'"}};

	while (in.len > 0) {
		bool done = false;

		if (in.ptr[0] == '<') {
			const char *end = str_istarts(in, "<style") ? "</style"
					  : str_istarts(in, "<script")
						  ? "</script"
					  : str_starts(in, "<!--") ? "--"
								   : "";
			ptrdiff_t at =
				str_isearch(str_from_at(in, 1), str_from(end));
			in = at < 0 ? STR("") : str_from_at(in, (size_t)at + 1);
			at = str_find(in, '>');
			in = at < 0 ? STR("") : str_from_at(in, (size_t)at + 1);
			buf_putc(out, ' ');
			continue;
		}
		for (size_t i = 0; i < ARRAY_LEN(entities) && !done; i++)
			if (str_istarts(in, entities[i].name)) {
				buf_puts(out, entities[i].text);
				in = str_from_at(in, strlen(entities[i].name));
				done = true;
			}
		if (done)
			continue;
		buf_putc(out, in.ptr[0]);
		in = str_from_at(in, 1);
	}
}

/* ASCII that stands for itself, in front. */
static size_t plain_run(struct str in, size_t most)
{
	size_t n = 0;

	while (n < in.len && n < most && in.ptr[n] > ' ' && in.ptr[n] < 0x7f)
		n++;
	return n;
}

/* One line, blanks folded, cut at a character. */
static void put_folded(struct str in, struct buf *out)
{
	size_t chars = 0;
	bool blank = false;

	while (in.len > 0 && chars < PREVIEW_CHARS) {
		size_t run = plain_run(in, PREVIEW_CHARS - chars - blank);
		uint32_t c = 0;
		size_t n = run > 0 ? run : utf8_decode(in, &c);

		if (run == 0 &&
			(n == 0 || c <= ' ' || c == 0xa0 || c == 0x7f)) {
			blank = out->len > 0;
			in = str_from_at(in, n > 0 ? n : 1);
			continue;
		}
		if (blank) {
			buf_putc(out, ' ');
			chars++;
			blank = false;
		}
		buf_put(out, str_sub(in, 0, n));
		in = str_from_at(in, n);
		chars += run > 0 ? run : 1;
	}
}

static struct str preview_of(const struct mime_part *root, struct arena *a)
{
	const struct mime_part *part = first_text(root, "plain");
	bool html = part == NULL;
	struct buf raw CLEANUP(buf_fini);
	struct buf utf8 CLEANUP(buf_fini);
	struct buf text CLEANUP(buf_fini);

	if (html)
		part = first_text(root, "html");
	if (part == NULL)
		return STR("");
	size_t source = html ? PREVIEW_HTML : PREVIEW_PLAIN;
	buf_init(&raw, source * 2);
	buf_init(&utf8, source * 6);
	buf_init(&text, source * 6);
	struct mime_part start = *part;
	start.body = str_sub(part->body, 0, source);
	mime_decode_body(&start, &raw);
	if (!charset_to_utf8(mime_param(&part->content, "charset"),
		    buf_str(&raw), &utf8)) {
		buf_reset(&utf8);
		buf_put(&utf8, buf_str(&raw));
	}
	if (html) {
		strip_html(buf_str(&utf8), &text);
		buf_reset(&utf8);
		buf_put(&utf8, buf_str(&text));
		buf_reset(&text);
	}
	put_folded(buf_str(&utf8), &text);
	return arena_str(a, buf_str(&text));
}

/* ---- all of it ---- */

struct str summary_make(struct str message, struct arena *a)
{
	struct mime_part *root = mime_parse(message, a);
	struct buf part CLEANUP(buf_fini);
	struct buf out CLEANUP(buf_fini);
	int64_t sent = 0;
	int zone = 0;

	buf_init(&part, PART_MAX);
	buf_init(&out, PART_MAX * 3);
	struct str references = str_sub(
		message_ids(mail_field_value(root->head, "References"), a), 0,
		REFERENCES_MAX);
	struct str date = mail_field_value(root->head, "Date");
	bool dated = str_present(date) && mail_date_parse(date, &sent, &zone);
	wire_put_u8(&out, VERSION);
	wire_put_u8(&out, dated);
	wire_put_u64(&out, (uint64_t)sent);
	wire_put_u32(&out, (uint32_t)zone);
	wire_put_u64(&out, thread_of(references, root->head, a));
	imap_put_envelope(root->head, a, &part);
	wire_put_str(&out, buf_str(&part));
	buf_reset(&part);
	imap_put_bodystructure(root, true, a, &part);
	wire_put_str(&out, buf_str(&part));
	wire_put_str(&out, preview_of(root, a));
	wire_put_str(&out, references);
	/* A monster of 10,000 parts is computed when asked for. */
	return buf_over(&part) || buf_over(&out) ? STR_NONE
						 : arena_str(a, buf_str(&out));
}

bool summary_read(struct str text, struct summary *s_r)
{
	struct wire w = {.rest = text};
	struct summary s;

	if (text.len == 0 || wire_u8(&w) != VERSION)
		return false;
	s.dated = wire_u8(&w) != 0;
	s.sent = (int64_t)wire_u64(&w);
	s.zone = (int)(int32_t)wire_u32(&w);
	s.thread = wire_u64(&w);
	s.envelope = wire_str(&w);
	s.structure = wire_str(&w);
	s.preview = wire_str(&w);
	s.references = wire_str(&w);
	if (!wire_ok(&w))
		return false;
	*s_r = s;
	return true;
}

/* ---- the stamp: seconds, zone, and a bit that says it is one ---- */

enum { STAMP_ZONES = 16384, STAMP_UNDATED = 2 };

int64_t summary_stamp(struct str text)
{
	struct wire w = {.rest = text};

	if (text.len == 0 || wire_u8(&w) != VERSION)
		return 0;
	bool dated = wire_u8(&w) != 0;
	int64_t sent = (int64_t)wire_u64(&w);
	int64_t zone = (int32_t)wire_u32(&w) + STAMP_ZONES / 2;

	if (!dated)
		return STAMP_UNDATED;
	if (sent < -(1ll << 48) || sent > 1ll << 48 || zone < 0 ||
		zone >= STAMP_ZONES)
		return 0;
	return (sent * STAMP_ZONES + zone) * 2 + 1;
}

bool summary_stamp_read(
	int64_t stamp, bool *dated_r, int64_t *sent_r, int *zone_r)
{
	*dated_r = (stamp & 1) != 0;
	*sent_r = 0;
	*zone_r = 0;
	if (!*dated_r)
		return stamp == STAMP_UNDATED;
	/* Shifts, for they round down: before 1970, too. */
	int64_t both = stamp >> 1;
	*sent_r = both >> 14;
	*zone_r = (int)(both & (STAMP_ZONES - 1)) - STAMP_ZONES / 2;
	return true;
}
