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

static bool put_addresses(
	struct str head, const char *name, struct arena *a, struct buf *out)
{
	struct mail_address_list list = {0};
	struct mail_field field;

	while (mail_field_next(&head, &field))
		if (str_ieqc(field.name, name))
			mail_address_parse(
				field.value, ADDRESSES_MAX, a, &list);
	if (list.n == 0)
		return false;
	buf_putc(out, '(');
	for (size_t i = 0; i < list.n; i++)
		put_address(&list.v[i], out);
	buf_putc(out, ')');
	return true;
}

/* Sender and Reply-To fall back to From: RFC 9051 7.5.2 */
static void put_addresses_or(struct str head, const char *name,
	const char *fallback, struct arena *a, struct buf *out)
{
	buf_putc(out, ' ');
	if (put_addresses(head, name, a, out))
		return;
	if (fallback == NULL || !put_addresses(head, fallback, a, out))
		buf_puts(out, "NIL");
}

void imap_put_envelope(struct str head, struct arena *a, struct buf *out)
{
	buf_putc(out, '(');
	put_unfolded(head, "Date", a, out);
	buf_putc(out, ' ');
	put_unfolded(head, "Subject", a, out);
	put_addresses_or(head, "From", NULL, a, out);
	put_addresses_or(head, "Sender", "From", a, out);
	put_addresses_or(head, "Reply-To", "From", a, out);
	put_addresses_or(head, "To", NULL, a, out);
	put_addresses_or(head, "Cc", NULL, a, out);
	put_addresses_or(head, "Bcc", NULL, a, out);
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

/* disposition, language, location */
static void put_extension(
	const struct mime_part *part, struct arena *a, struct buf *out)
{
	put_disposition(part, out);
	buf_putc(out, ' ');
	put_unfolded(part->head, "Content-Language", a, out);
	buf_putc(out, ' ');
	put_unfolded(part->head, "Content-Location", a, out);
}

static void put_multipart(const struct mime_part *part, bool extensions,
	struct arena *a, struct buf *out)
{
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

static void put_leaf(const struct mime_part *part, bool extensions,
	struct arena *a, struct buf *out)
{
	static const struct mime_param ascii = {
		{"charset", 7}, {"us-ascii", 8}};
	struct mime_value content = part->content;
	struct mime_param params[1] = {ascii};
	bool multipart = mime_is(part, "multipart", NULL);

	/* A multipart without parts is shown as what it is: text. */
	if (multipart)
		content = (struct mime_value){
			.type = STR("text"), .subtype = STR("plain")};
	/* An encoded message cannot be looked into: RFC 2046 5.2.1 forbids it.
	 */
	if (mime_is(part, "message", "rfc822") && part->child == NULL)
		content = (struct mime_value){.type = STR("application"),
			.subtype = STR("octet-stream")};
	bool text = str_eqc(content.type, "text");
	if (text && content.n_params == 0) {
		content.params = params;
		content.n_params = 1;
	}
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
	if (mime_is(part, "multipart", NULL) && part->child != NULL)
		put_multipart(part, extensions, a, out);
	else
		put_leaf(part, extensions, a, out);
	buf_putc(out, ')');
}
