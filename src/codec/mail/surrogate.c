/* SPDX-License-Identifier: ISC */
#include "codec/mail/surrogate.h"

#include "base/buf.h"
#include "base/utf8.h"
#include "codec/mail/address.h"
#include "codec/mail/encword.h"
#include "codec/mail/header.h"
#include "codec/mail/mime.h"

enum { ADDRESSES_MAX = 5000 };

static bool is_one_of(struct str name, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (str_ieqc(name, names[i]))
			return true;
	return false;
}

/* ---- 2.1: addresses ---- */

static void put_mailbox(
	const struct mail_address *m, bool named, struct buf *out)
{
	bool ascii = utf8_is_ascii(m->spec);
	struct str name = str_present(m->name) ? m->name : STR("");

	if (name.len == 0 && !ascii)
		name = m->spec;
	if (name.len > 0 && named) {
		encword_put_phrase(name, 1, out);
		buf_putc(out, ' ');
	}
	buf_putc(out, '<');
	buf_put(out, ascii ? m->spec
			   : STR("invalid@internationalized-address.invalid"));
	buf_putc(out, '>');
}

static void put_addresses(
	const struct mail_field *field, struct arena *a, struct buf *out)
{
	bool named = !str_ieqc(field->name, "Return-Path");
	struct mail_address_list list = {0};
	bool first = true;

	mail_address_parse(field->value, ADDRESSES_MAX, a, &list);
	buf_put(out, field->name);
	buf_putc(out, ':');
	for (size_t i = 0; i < list.n; i++) {
		const struct mail_address *m = &list.v[i];

		if (m->kind == MAIL_GROUP_END) {
			buf_putc(out, ';');
			continue;
		}
		buf_puts(out, first ? " " : ",\r\n ");
		first = m->kind == MAIL_GROUP_START;
		if (m->kind == MAIL_GROUP_START) {
			encword_put_phrase(m->name, 1, out);
			buf_putc(out, ':');
		} else {
			put_mailbox(m, named, out);
		}
	}
	buf_puts(out, "\r\n");
}

/* ---- 2.2: parameters ---- */

/* Up to the next ";" that stands in no quotes; absent at the end. */
static struct str next_parameter(struct str *rest)
{
	bool quoted = false;
	size_t i = 0;

	if (!str_present(*rest))
		return STR_NONE;
	for (; i < rest->len && (quoted || rest->ptr[i] != ';'); i++) {
		if (quoted && rest->ptr[i] == '\\')
			i++;
		else if (rest->ptr[i] == '"')
			quoted = !quoted;
	}
	struct str one = str_sub(*rest, 0, i);
	*rest = i < rest->len ? str_from_at(*rest, i + 1) : STR_NONE;
	return one;
}

static void put_parameters(const struct mail_field *field, struct buf *out)
{
	struct str rest = field->value;
	struct str one = next_parameter(&rest);

	if (!utf8_is_ascii(one))
		return;
	buf_put(out, field->name);
	buf_puts(out, ": ");
	buf_put(out, one);
	while (str_present(one = next_parameter(&rest)))
		if (utf8_is_ascii(one)) {
			buf_putc(out, ';');
			buf_put(out, one);
		}
	buf_puts(out, "\r\n");
}

/* ---- a header ---- */

/* 2.3 and 2.4: what has no form of its own goes. */
static void put_field(
	const struct mail_field *field, struct arena *a, struct buf *out)
{
	static const char *const addresses[] = {"From", "Sender", "Reply-To",
		"To", "Cc", "Bcc", "Resent-From", "Resent-Sender", "Resent-To",
		"Resent-Cc", "Resent-Bcc", "Return-Path"};
	static const char *const texts[] = {
		"Subject", "Comments", "Content-Description"};
	static const char *const parameters[] = {
		"Content-Type", "Content-Disposition"};

	if (utf8_is_ascii(field->whole)) {
		buf_put(out, field->whole);
	} else if (is_one_of(field->name, addresses, ARRAY_LEN(addresses))) {
		put_addresses(field, a, out);
	} else if (is_one_of(field->name, texts, ARRAY_LEN(texts))) {
		buf_put(out, field->name);
		buf_puts(out, ": ");
		encword_put(
			mail_unfold(field->value, a), field->name.len + 2, out);
		buf_puts(out, "\r\n");
	} else if (is_one_of(field->name, parameters, ARRAY_LEN(parameters))) {
		put_parameters(field, out);
	}
}

static bool is_wanted(struct str head)
{
	return !utf8_is_ascii(head) && utf8_valid(head);
}

static void put_head(struct str head, struct arena *a, struct buf *out)
{
	struct mail_field field;

	while (mail_field_find(&head, &field))
		put_field(&field, a, out);
}

/* ---- a message: its headers stand in it as the parts do ---- */

struct writer {
	struct str message;
	size_t at; /* up to where it is put */
	struct buf out;
	struct arena *a;
};

static void put_part(struct writer *w, const struct mime_part *part)
{
	for (; part != NULL; part = part->next) {
		if (is_wanted(part->head)) {
			size_t from = (size_t)(part->head.ptr - w->message.ptr);

			buf_put(&w->out,
				str_sub(w->message, w->at, from - w->at));
			put_head(part->head, w->a, &w->out);
			w->at = from + part->head.len;
		}
		put_part(w, part->child);
	}
}

struct str mail_surrogate(struct str message, struct arena *a)
{
	struct writer w = {.message = message, .a = a};

	if (utf8_is_ascii(message))
		return message;
	/* "ü@x," becomes fourteen times as long. */
	buf_init(&w.out, message.len * 32 + 4096);
	put_part(&w, mime_parse(message, a));
	if (w.at > 0)
		buf_put(&w.out, str_from_at(message, w.at));
	bool changed = w.at > 0 && !buf_over(&w.out);
	struct str out = changed ? arena_str(a, buf_str(&w.out)) : message;
	buf_fini(&w.out);
	return out;
}
