/* SPDX-License-Identifier: ISC */
#include "cmd/compose.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/utf8.h"
#include "codec/mail/address.h"
#include "codec/mail/base64.h"
#include "codec/mail/date.h"
#include "codec/mail/encword.h"
#include "codec/smtp/path.h"
#include "sys/clock.h"
#include "sys/file.h"

enum { ATTACHMENT_MAX = 100 << 20, ADDRESSES_MAX = 1000 };

bool compose_addresses(struct str list, struct arena *a, struct strs *out)
{
	struct mail_address_list found = {0};

	if (!mail_address_parse(list, ADDRESSES_MAX, a, &found))
		return false;
	for (size_t i = 0; i < found.n; i++) {
		struct str spec = found.v[i].spec, rest = spec;
		struct smtp_path path;
		struct smtp_bad bad;

		if (found.v[i].kind != MAIL_MAILBOX)
			continue;
		if (!smtp_path_parse(&rest, SMTP_PATH_BARE | SMTP_PATH_UTF8,
			    &path, &bad) ||
			rest.len > 0)
			return false;
		strs_add(out, a, spec);
	}
	return out->n > 0;
}

/* "To: " and the addresses of all list entries, one a line */
static void put_list(const char *field, const struct strs *lists,
	struct arena *a, struct buf *out)
{
	struct mail_address_list all = {0};

	for (size_t i = 0; i < lists->n; i++)
		mail_address_parse(lists->v[i], ADDRESSES_MAX, a, &all);
	if (all.n == 0)
		return;
	buf_putf(out, "%s: ", field);
	for (size_t i = 0; i < all.n; i++) {
		if (i > 0)
			buf_puts(out, ",\r\n ");
		if (all.v[i].name.len > 0) {
			encword_put_phrase(all.v[i].name, 12, out);
			buf_putf(out, " <%.*s>", STR_ARG(all.v[i].spec));
		} else {
			buf_put(out, all.v[i].spec);
		}
	}
	buf_puts(out, "\r\n");
}

/* Needs quoted-printable: 8 bits, long lines, odd controls? */
static bool needs_qp(struct str text)
{
	size_t column = 0;

	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];

		if (c == '\n') {
			column = 0;
			continue;
		}
		if (c >= 0x7f || (c < 0x20 && c != '\t' && c != '\r') ||
			++column > 900)
			return true;
	}
	return false;
}

static void put_crlf(struct str text, struct buf *out)
{
	while (str_present(text) && text.len > 0) {
		struct str line = str_cut(&text, '\n');

		if (str_ends(line, "\r"))
			line.len--;
		buf_put(out, line);
		buf_puts(out, "\r\n");
	}
}

static void put_text_part(struct str text, struct buf *out)
{
	bool ascii = utf8_is_ascii(text), qp = needs_qp(text);

	buf_putf(out,
		"Content-Type: text/plain; charset=%s\r\n"
		"Content-Transfer-Encoding: %s\r\n\r\n",
		ascii ? "us-ascii" : "utf-8", qp ? "quoted-printable" : "7bit");
	if (!qp) {
		put_crlf(text, out);
		return;
	}
	qp_encode(text, out);
	if (!str_ends(text, "\n"))
		buf_puts(out, "\r\n");
}

static const char *type_of(struct str name)
{
	static const struct {
		const char *suffix, *type;
	} types[] = {{".txt", "text/plain"}, {".html", "text/html"},
		{".csv", "text/csv"}, {".pdf", "application/pdf"},
		{".png", "image/png"}, {".jpg", "image/jpeg"},
		{".jpeg", "image/jpeg"}, {".gif", "image/gif"},
		{".svg", "image/svg+xml"}, {".zip", "application/zip"},
		{".gz", "application/gzip"}, {".json", "application/json"},
		{".xml", "application/xml"}, {".eml", "message/rfc822"},
		{".mp3", "audio/mpeg"}, {".mp4", "video/mp4"},
		{".odt", "application/vnd.oasis.opendocument.text"},
		{".docx", "application/vnd.openxmlformats-officedocument."
			  "wordprocessingml.document"},
		{".ics", "text/calendar"}, {".vcf", "text/vcard"}};

	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (str_iends(name, str_from(types[i].suffix)) &&
			strcmp(types[i].type, "message/rfc822") != 0)
			return types[i].type;
	return "application/octet-stream";
}

/* RFC 2231 4: other names than ASCII are percent-encoded UTF-8 */
static void put_filename(struct str name, struct buf *out)
{
	bool plain = utf8_is_ascii(name) && str_find(name, '"') < 0 &&
		     str_find(name, '\\') < 0;

	if (plain) {
		buf_putf(out, " filename=\"%.*s\"", STR_ARG(name));
		return;
	}
	buf_puts(out, " filename*=UTF-8''");
	for (size_t i = 0; i < name.len; i++) {
		char c = name.ptr[i];

		if (ascii_is_alnum(c) || c == '.' || c == '-' || c == '_')
			buf_putc(out, c);
		else
			buf_putf(out, "%%%02X", (unsigned char)c);
	}
}

static bool put_attachment(const char *path, struct buf *out, struct fault *f)
{
	struct buf data CLEANUP(buf_fini);
	const char *slash = strrchr(path, '/');
	struct str name = str_from(slash != NULL ? slash + 1 : path);

	buf_init(&data, ATTACHMENT_MAX + 65536);
	if (!file_read(path, ATTACHMENT_MAX, &data, f))
		return false;
	buf_putf(out, "Content-Type: %s\r\nContent-Disposition: attachment;",
		type_of(name));
	put_filename(name, out);
	buf_puts(out, "\r\nContent-Transfer-Encoding: base64\r\n\r\n");
	base64_encode_lines(buf_str(&data), out);
	return true;
}

static void put_ids(const struct compose *c, struct buf *out)
{
	char id[ID_TEXT];
	ptrdiff_t at = str_rfind(c->from, '@');
	struct str domain = at >= 0 ? str_from_at(c->from, (size_t)at + 1)
				    : STR("localhost");
	int64_t now = clock_unix();

	if (str_ends(domain, ">"))
		domain.len--;
	id_text(id_new(), id);
	buf_puts(out, "Date: ");
	mail_date_put(now, clock_zone_minutes(now), out);
	buf_putf(out, "\r\nMessage-ID: <%s.%08llx@%.*s>\r\n", id,
		(unsigned long long)(random_u64() & 0xffffffff),
		STR_ARG(domain));
}

bool compose_put(const struct compose *c, struct arena *a, struct buf *out,
	struct fault *f)
{
	struct strs from = {0};
	char boundary[48];
	char id[ID_TEXT];

	put_ids(c, out);
	strs_add(&from, a, c->from);
	put_list("From", &from, a, out);
	put_list("To", &c->to, a, out);
	put_list("Cc", &c->cc, a, out);
	buf_puts(out, "Subject: ");
	encword_put(c->subject, 9, out);
	buf_puts(out, "\r\nMIME-Version: 1.0\r\n");
	if (c->n_attachments == 0) {
		put_text_part(c->text, out);
		return true;
	}
	id_text(random_u64() >> 1, id);
	/* "=_" cannot stand in quoted-printable or base64 text. */
	snprintf(boundary, sizeof(boundary), "=_%s", id);
	buf_putf(out, "Content-Type: multipart/mixed; boundary=\"%s\"\r\n\r\n",
		boundary);
	buf_putf(out, "--%s\r\n", boundary);
	put_text_part(c->text, out);
	for (size_t i = 0; i < c->n_attachments; i++) {
		buf_putf(out, "\r\n--%s\r\n", boundary);
		if (!put_attachment(c->attachments[i], out, f))
			return false;
	}
	buf_putf(out, "\r\n--%s--\r\n", boundary);
	return true;
}
