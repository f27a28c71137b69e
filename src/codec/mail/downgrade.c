/* SPDX-License-Identifier: ISC */
#include "codec/mail/downgrade.h"

#include "base/attr.h"
#include "codec/mail/base64.h"
#include "codec/mail/header.h"
#include "codec/mail/mime.h"

enum {
	LINE_MAX_OCTETS = 998, /* RFC 5321 4.5.3.1.6 without CRLF */
	BASE64_PIECE = 57 * 512, /* whole lines of 76 characters */
	GLUE_PIECE = 16 * 1024,
};

struct work {
	enum downgrade_to to;
	struct arena *a;
	downgrade_put_f *put;
	void *ctx;
	enum downgrade_result result;
};

/* What stands in a piece of text. */
struct traits {
	bool nul;
	bool bare; /* CR or LF alone */
	bool long_line;
	bool has_8bit;
};

static struct traits traits_of(struct str s)
{
	struct traits t = {0};
	size_t line = 0;

	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];

		if (c == '\r' && i + 1 < s.len && s.ptr[i + 1] == '\n') {
			line = 0;
			i++;
			continue;
		}
		t.nul |= c == '\0';
		t.bare |= c == '\r' || c == '\n';
		t.has_8bit |= c >= 0x80;
		t.long_line |= ++line > LINE_MAX_OCTETS;
	}
	return t;
}

static void put(struct work *w, struct str piece)
{
	if (w->result == DOWNGRADE_OK && piece.len > 0 &&
		!w->put(piece, w->ctx))
		w->result = DOWNGRADE_STOPPED;
}

/* Line ends become CRLF; what no line may hold has no way out here. */
static void put_lines(struct work *w, struct str s)
{
	struct buf out CLEANUP(buf_fini);
	struct traits t = traits_of(s);

	if (t.nul || (t.has_8bit && w->to == DOWNGRADE_TO_7BIT))
		w->result = DOWNGRADE_IMPOSSIBLE;

	buf_init(&out, GLUE_PIECE + 16);
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];

		if (c == '\r' || c == '\n') {
			i += c == '\r' && i + 1 < s.len && s.ptr[i + 1] == '\n';
			buf_puts(&out, "\r\n");
		} else {
			buf_putc(&out, (char)c);
		}
		if (out.len >= GLUE_PIECE) {
			put(w, buf_str(&out));
			buf_reset(&out);
		}
	}
	put(w, buf_str(&out));
}

static void put_base64(struct work *w, struct str body)
{
	struct buf out CLEANUP(buf_fini);

	buf_init(&out, (size_t)BASE64_PIECE * 2);
	for (size_t at = 0; at < body.len; at += BASE64_PIECE) {
		buf_reset(&out);
		base64_encode_lines(str_sub(body, at, BASE64_PIECE), &out);
		put(w, buf_str(&out));
	}
}

static void put_qp(struct work *w, struct str body)
{
	struct buf out CLEANUP(buf_fini);

	buf_init(&out, 8192);
	while (body.len > 0) {
		ptrdiff_t nl = str_find(body, '\n');
		size_t n = nl < 0 ? body.len : (size_t)nl + 1;
		struct str line = str_sub(body, 0, n);

		/* LINE_MAX_OCTETS does not hold here: long lines are why. */
		if (line.len > 1024) {
			line.len = 1024;
			n = 1024;
			if (line.ptr[1023] == '\r')
				line.len = n = 1023;
		}
		buf_reset(&out);
		qp_encode(line, &out);
		put(w, buf_str(&out));
		if (n < body.len && line.ptr[n - 1] != '\n')
			put(w, STR("=\r\n"));
		body = str_from_at(body, n);
	}
}

/* The fields, with another Content-Transfer-Encoding when given. */
static void put_head(struct work *w, struct str head, const char *encoding,
	bool mime_version)
{
	struct mail_field field;
	struct str rest = head;

	while (mail_field_next(&rest, &field)) {
		if (encoding == NULL ||
			!str_ieqc(field.name, "Content-Transfer-Encoding"))
			put_lines(w, field.whole);
	}
	if (mime_version && encoding != NULL &&
		!str_present(mail_field_value(head, "MIME-Version")))
		put(w, STR("MIME-Version: 1.0\r\n"));
	if (encoding != NULL)
		put(w, arena_printf(w->a, "Content-Transfer-Encoding: %s\r\n",
			       encoding));
	put(w, STR("\r\n"));
}

static bool is_encoded(const struct mime_part *part)
{
	return str_eqc(part->encoding, "base64") ||
	       str_eqc(part->encoding, "quoted-printable");
}

/* The label for a body that stays as it is; NULL: the old one is right. */
static const char *relabel(const struct work *w, const struct mime_part *part)
{
	if (str_eqc(part->encoding, "binary") ||
		(w->to == DOWNGRADE_TO_7BIT && str_eqc(part->encoding, "8bit")))
		return w->to == DOWNGRADE_TO_8BIT ? "8bit" : "7bit";
	return NULL;
}

static bool changes(const struct work *w, struct traits t)
{
	return t.nul || t.bare || t.long_line ||
	       (t.has_8bit && w->to == DOWNGRADE_TO_7BIT);
}

static void put_leaf(
	struct work *w, const struct mime_part *part, bool mime_version)
{
	struct traits t = traits_of(part->body);
	bool fits = !changes(w, t);

	if (fits || is_encoded(part)) {
		put_head(w, part->head,
			is_encoded(part) ? NULL : relabel(w, part),
			mime_version);
		put_lines(w, part->body);
		return;
	}
	/* RFC 2046 5.1 and 5.2: these may not be encoded. */
	if (mime_is(part, "multipart", NULL) ||
		mime_is(part, "message", "rfc822") ||
		mime_is(part, "message", "partial")) {
		w->result = DOWNGRADE_IMPOSSIBLE;
		return;
	}
	bool text = mime_is(part, "text", NULL) && !t.nul && !t.bare;
	put_head(w, part->head, text ? "quoted-printable" : "base64",
		mime_version);
	if (text)
		put_qp(w, part->body);
	else
		put_base64(w, part->body);
}

static bool is_signed(const struct mime_part *part)
{
	return mime_is(part, "multipart", "signed");
}

/* RFC 1847 2.1 asks for 7-bit content under a signature; nobody else can
 * mend it. */
static void put_part(
	struct work *w, const struct mime_part *part, bool mime_version)
{
	if (w->result != DOWNGRADE_OK)
		return;
	if (is_signed(part) && changes(w, traits_of(part->body))) {
		w->result = DOWNGRADE_IMPOSSIBLE;
		return;
	}
	if (part->child == NULL || is_signed(part)) {
		put_leaf(w, part, mime_version);
		return;
	}
	put_head(w, part->head, relabel(w, part), mime_version);
	const char *at = part->body.ptr;
	const char *end = at + part->body.len;
	bool inner = mime_is(part, "message", NULL);
	for (const struct mime_part *c = part->child; c != NULL; c = c->next) {
		const char *stop = c->body.ptr + c->body.len;

		put_lines(w, str_of(at, (size_t)(c->head.ptr - at)));
		put_part(w, c, inner);
		/* A part that was encoded ends in a line end of its own. */
		at = stop;
	}
	put_lines(w, str_of(at, (size_t)(end - at)));
}

enum downgrade_result mail_downgrade(struct str message, enum downgrade_to to,
	struct arena *a, downgrade_put_f *out, void *ctx)
{
	struct work w = {.to = to, .a = a, .put = out, .ctx = ctx};

	put_part(&w, mime_parse(message, a), true);
	return w.result;
}
