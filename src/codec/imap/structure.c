/* SPDX-License-Identifier: ISC */
#include "codec/imap/structure.h"

#include "base/utf8.h"
#include "codec/imap/utf7.h"
#include "codec/mail/address.h"
#include "codec/mail/header.h"

enum { ADDRESSES_MAX = 5000 };

void imap_put_string(struct str s, struct buf *out)
{
	bool plain = s.len <= 1024;

	for (size_t i = 0; i < s.len && plain; i++) {
		unsigned char c = (unsigned char)s.ptr[i];

		plain = c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
	}
	if (plain) {
		buf_putc(out, '"');
		buf_put(out, s);
		buf_putc(out, '"');
		return;
	}
	buf_putf(out, "{%zu}\r\n", s.len);
	for (size_t i = 0; i < s.len; i++)
		buf_putc(out, s.ptr[i] != '\0' ? s.ptr[i] : (char)0x80);
}

void imap_put_nstring(struct str s, struct buf *out)
{
	if (str_present(s))
		imap_put_string(s, out);
	else
		buf_puts(out, "NIL");
}

void imap_put_mailbox(struct str utf8, struct arena *a, struct buf *out)
{
	imap_put_string(imap_utf7_encode(utf8, a), out);
}

void imap_put_utf8(struct str s, struct buf *out)
{
	if (s.len > 1024 || !utf8_valid(s) || str_find(s, '\r') >= 0 ||
		str_find(s, '\n') >= 0 || str_find(s, '\0') >= 0) {
		imap_put_string(s, out);
		return;
	}
	buf_putc(out, '"');
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] == '"' || s.ptr[i] == '\\')
			buf_putc(out, '\\');
		buf_putc(out, s.ptr[i]);
	}
	buf_putc(out, '"');
}

static void put_unfolded(
	struct str head, const char *name, struct arena *a, struct buf *out)
{
	struct str value = mail_field_value(head, name);

	imap_put_nstring(
		str_present(value) ? mail_unfold(value, a) : value, out);
}

/* (name adl mailbox host) */
static void put_address(const struct mail_address *m, struct buf *out)
{
	buf_putc(out, '(');
	if (m->kind == MAIL_MAILBOX) {
		imap_put_nstring(m->name, out);
		buf_putc(out, ' ');
		imap_put_nstring(m->route, out);
		buf_putc(out, ' ');
		imap_put_string(m->local, out);
		buf_putc(out, ' ');
		imap_put_string(
			str_present(m->domain) ? m->domain : STR(""), out);
	} else {
		/* Group syntax: host NIL, the start names the group. */
		buf_puts(out, "NIL NIL ");
		imap_put_nstring(
			m->kind == MAIL_GROUP_START ? m->name : STR_NONE, out);
		buf_puts(out, " NIL");
	}
	buf_putc(out, ')');
}

/* A blank, and what is put where there are none */
static void put_addresses(struct str head, const char *name, struct str none,
	struct arena *a, struct buf *out)
{
	struct mail_address_list list = {0};
	struct mail_field field;

	buf_putc(out, ' ');
	while (mail_field_named(&head, str_from(name), &field))
		mail_address_parse(field.value, ADDRESSES_MAX, a, &list);
	if (list.n == 0) {
		buf_put(out, none);
		return;
	}
	buf_putc(out, '(');
	for (size_t i = 0; i < list.n; i++)
		put_address(&list.v[i], out);
	buf_putc(out, ')');
}

void imap_put_envelope(struct str head, struct arena *a, struct buf *out)
{
	const struct str nil = STR("NIL");

	buf_putc(out, '(');
	put_unfolded(head, "Date", a, out);
	buf_putc(out, ' ');
	put_unfolded(head, "Subject", a, out);
	size_t at = out->len + 1;
	put_addresses(head, "From", nil, a, out);
	/* Sender and Reply-To fall back to From: RFC 9051 7.5.2 */
	struct str from = arena_str(a, str_from_at(buf_str(out), at));
	put_addresses(head, "Sender", from, a, out);
	put_addresses(head, "Reply-To", from, a, out);
	put_addresses(head, "To", nil, a, out);
	put_addresses(head, "Cc", nil, a, out);
	put_addresses(head, "Bcc", nil, a, out);
	buf_putc(out, ' ');
	put_unfolded(head, "In-Reply-To", a, out);
	buf_putc(out, ' ');
	put_unfolded(head, "Message-ID", a, out);
	buf_putc(out, ')');
}

static void put_params(const struct mime_value *v, struct buf *out)
{
	if (v->n_params == 0) {
		buf_puts(out, "NIL");
		return;
	}
	buf_putc(out, '(');
	for (size_t i = 0; i < v->n_params; i++) {
		if (i > 0)
			buf_putc(out, ' ');
		imap_put_string(v->params[i].name, out);
		buf_putc(out, ' ');
		imap_put_string(v->params[i].value, out);
	}
	buf_putc(out, ')');
}

static void put_disposition(const struct mime_part *part, struct buf *out)
{
	if (part->disposition.type.len == 0) {
		buf_puts(out, "NIL");
		return;
	}
	buf_putc(out, '(');
	imap_put_string(part->disposition.type, out);
	buf_putc(out, ' ');
	put_params(&part->disposition, out);
	buf_putc(out, ')');
}

/* RFC 3282: tags with commas between */
static void put_languages(struct str value, struct buf *out)
{
	bool any = false;

	while (str_present(value)) {
		struct str tag = str_trim(str_cut(&value, ','));

		if (tag.len == 0)
			continue;
		buf_putc(out, any ? ' ' : '(');
		imap_put_string(tag, out);
		any = true;
	}
	buf_puts(out, any ? ")" : "NIL");
}

/* disposition, language, location */
static void put_extension(
	const struct mime_part *part, struct arena *a, struct buf *out)
{
	put_disposition(part, out);
	buf_putc(out, ' ');
	put_languages(mail_field_value(part->head, "Content-Language"), out);
	buf_putc(out, ' ');
	put_unfolded(part->head, "Content-Location", a, out);
}

#define EMPTY_PART                                                             \
	"(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 0 0"

static void put_multipart(const struct mime_part *part, bool extensions,
	struct arena *a, struct buf *out)
{
	/* RFC 2046 5.1.1 wants one part at least: where there is none, an empty
	 * one is shown, and the container stays what it says it is. */
	if (part->child == NULL)
		buf_puts(out, extensions ? EMPTY_PART " NIL NIL NIL NIL)"
					 : EMPTY_PART ")");
	for (const struct mime_part *c = part->child; c != NULL; c = c->next)
		imap_put_bodystructure(c, extensions, a, out);
	buf_putc(out, ' ');
	imap_put_string(part->content.subtype, out);
	if (!extensions)
		return;
	buf_putc(out, ' ');
	put_params(&part->content, out);
	buf_putc(out, ' ');
	put_extension(part, a, out);
}

/* RFC 9051 7.5.2: what has no charset is us-ascii. */
static void add_ascii(struct mime_value *v, struct arena *a)
{
	struct mime_param *params =
		arena_alloc(a, (v->n_params + 1) * sizeof(*params));

	for (size_t i = 0; i < v->n_params; i++)
		params[i] = v->params[i];
	params[v->n_params++] =
		(struct mime_param){STR("charset"), STR("us-ascii")};
	v->params = params;
}

static void put_leaf(const struct mime_part *part, bool extensions,
	struct arena *a, struct buf *out)
{
	struct mime_value content = part->content;

	/* An encoded message cannot be looked into: RFC 2046 5.2.1 forbids it.
	 */
	if (mime_is(part, "message", "rfc822") && part->child == NULL)
		content = (struct mime_value){.type = STR("application"),
			.subtype = STR("octet-stream")};
	bool text = str_eqc(content.type, "text");
	if (text && !str_present(mime_param(&content, "charset")))
		add_ascii(&content, a);
	imap_put_string(content.type, out);
	buf_putc(out, ' ');
	imap_put_string(content.subtype, out);
	buf_putc(out, ' ');
	put_params(&content, out);
	buf_putc(out, ' ');
	put_unfolded(part->head, "Content-ID", a, out);
	buf_putc(out, ' ');
	put_unfolded(part->head, "Content-Description", a, out);
	buf_putc(out, ' ');
	imap_put_string(part->encoding, out);
	buf_putf(out, " %zu", part->body.len);
	if (mime_is(part, "message", "rfc822") && part->child != NULL) {
		buf_putc(out, ' ');
		imap_put_envelope(part->child->head, a, out);
		buf_putc(out, ' ');
		imap_put_bodystructure(part->child, extensions, a, out);
		buf_putf(out, " %zu", part->lines);
	} else if (text) {
		buf_putf(out, " %zu", part->lines);
	}
	if (!extensions)
		return;
	buf_putc(out, ' ');
	put_unfolded(part->head, "Content-MD5", a, out);
	buf_putc(out, ' ');
	put_extension(part, a, out);
}

void imap_put_bodystructure(const struct mime_part *part, bool extensions,
	struct arena *a, struct buf *out)
{
	buf_putc(out, '(');
	if (mime_is(part, "multipart", NULL))
		put_multipart(part, extensions, a, out);
	else
		put_leaf(part, extensions, a, out);
	buf_putc(out, ')');
}
