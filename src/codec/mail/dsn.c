/* SPDX-License-Identifier: ISC */
#include "codec/mail/dsn.h"

#include "base/utf8.h"
#include "codec/mail/address.h"
#include "codec/mail/date.h"
#include "codec/mail/encword.h"
#include "codec/mail/header.h"

enum { REFERENCES_MAX = 20 };

static const char *const action_names[] = {
	"failed", "delayed", "delivered", "relayed"};

/* Words of another server in a header or text: no line end gets through. */
static void put_line(struct str text, size_t max, struct buf *out)
{
	for (size_t i = 0; i < text.len && i < max; i++) {
		unsigned char c = (unsigned char)text.ptr[i];

		buf_putc(out, c < 0x20 || c == 0x7f ? '?' : (char)c);
	}
}

/* The text with the name in place of its "%". */
static void put_template(const char *template, struct str name, struct buf *out)
{
	struct str rest = str_from(template);
	struct str before = str_cut(&rest, '%');

	buf_put(out, before);
	put_line(name, 300, out);
	buf_put(out, rest);
}

/* In lines of about 72 columns, between blanks. */
static void put_wrapped(const char *text, struct buf *out)
{
	struct str rest = str_from(text), word;
	size_t column = 0;

	while (str_present(word = str_word(&rest, " "))) {
		if (column > 0 && column + 1 + word.len > 68) {
			buf_puts(out, "\r\n");
			column = 0;
		}
		buf_puts(out, column == 0 ? "    " : " ");
		buf_put(out, word);
		column += word.len + 1;
	}
	buf_puts(out, "\r\n");
}

static void put_date(const struct dsn *d, int64_t at, struct buf *out)
{
	mail_date_put(at, d->zone_minutes, out);
	buf_puts(out, "\r\n");
}

static void put_words(
	const struct dsn *d, const struct dsn_rcpt *r, struct buf *out)
{
	const struct dsn_words *w = d->words;
	bool trouble = r->action == DSN_FAILED || r->action == DSN_DELAYED;

	buf_puts(out, "\r\n<");
	put_line(r->address, 500, out);
	buf_puts(out, ">:\r\n");
	if (trouble) {
		put_wrapped(w->cause[r->cause].what, out);
		put_wrapped(w->cause[r->cause].todo, out);
	}
	buf_puts(out, "    ");
	if (r->mta.len > 0 && r->from_mta)
		put_template(w->host_said, r->mta, out);
	put_line(r->reply, 900, out);
	buf_puts(out, "\r\n");
	if (r->action == DSN_DELAYED && r->will_retry_until > 0) {
		buf_putf(out, "    %s", w->tried_until);
		put_date(d, r->will_retry_until, out);
	}
}

/* Lines as they stand, each with CRLF. */
static void put_lines(struct str text, struct buf *out)
{
	while (text.len > 0) {
		struct str line = str_cut(&text, '\n');

		buf_put(out, str_ends(line, "\r")
				     ? str_sub(line, 0, line.len - 1)
				     : line);
		buf_puts(out, "\r\n");
		if (!str_present(text))
			break;
	}
}

static void put_text(const struct dsn *d, struct buf *out)
{
	const struct dsn_words *w = d->words;

	if (d->template != NULL) {
		put_lines(d->template->text, out);
		for (size_t i = 0; i < d->n_rcpts; i++)
			put_words(d, &d->rcpts[i], out);
		buf_puts(out, "\r\n");
		return;
	}
	put_template(w->from_system, d->reporting_mta, out);
	buf_putf(out, "\r\n\r\n%s\r\n", w->lead[d->rcpts[0].action]);
	for (size_t i = 0; i < d->n_rcpts; i++)
		put_words(d, &d->rcpts[i], out);
	buf_putf(out, "\r\n%s\r\n\r\n", w->details);
}

/* RFC 6533 3: in a report that is 8-bit the address stands as it is. */
static void put_address(const char *name, struct str address, struct buf *out)
{
	buf_putf(out, "%s: %s; ", name,
		utf8_is_ascii(address) ? "rfc822" : "utf-8");
	put_line(address, 1000, out);
	buf_puts(out, "\r\n");
}

/* RFC 3464 2.1: 7-bit, RFC 6533 4: but where the report is UTF-8. */
static void put_status_text(
	const struct dsn *d, struct str text, size_t max, struct buf *out)
{
	for (size_t i = 0; i < text.len && i < max; i++) {
		unsigned char c = (unsigned char)text.ptr[i];
		bool plain = c >= 0x20 && c != 0x7f && (c < 0x80 || d->utf8);

		buf_putc(out, plain ? (char)c : '?');
	}
}

static void put_rcpt(
	const struct dsn *d, const struct dsn_rcpt *r, struct buf *out)
{
	buf_puts(out, "\r\n");
	if (r->orcpt.len > 0) {
		buf_puts(out, "Original-Recipient: ");
		put_line(r->orcpt, 1000, out);
		buf_puts(out, "\r\n");
	}
	put_address("Final-Recipient", r->address, out);
	buf_putf(out, "Action: %s\r\nStatus: %d.%d.%d\r\n",
		action_names[r->action], r->class, r->subject, r->detail);
	if (r->mta.len > 0) {
		buf_puts(out, "Remote-MTA: dns; ");
		put_status_text(d, r->mta, 300, out);
		buf_puts(out, "\r\n");
	}
	if (r->reply.len > 0) {
		buf_puts(out, r->from_mta ? "Diagnostic-Code: smtp; "
					  : "Diagnostic-Code: x-postern; ");
		put_status_text(d, r->reply, 900, out);
		buf_puts(out, "\r\n");
	}
	if (r->action == DSN_DELAYED && r->will_retry_until > 0) {
		buf_puts(out, "Will-Retry-Until: ");
		put_date(d, r->will_retry_until, out);
	}
}

static void put_status(const struct dsn *d, struct buf *out)
{
	buf_putf(
		out, "Reporting-MTA: dns; %.*s\r\n", STR_ARG(d->reporting_mta));
	if (d->envid.len > 0) {
		buf_puts(out, "Original-Envelope-Id: ");
		put_line(d->envid, 300, out);
		buf_puts(out, "\r\n");
	}
	buf_putf(out, "X-Postern-Queue-ID: %.*s\r\n", STR_ARG(d->queue_id));
	buf_puts(out, "Arrival-Date: ");
	put_date(d, d->arrival, out);
	for (size_t i = 0; i < d->n_rcpts; i++)
		put_rcpt(d, &d->rcpts[i], out);
}

/* RFC 5322 3.6.4: "<left@right>", nothing else; absent: it is none. */
static struct str message_id(struct str *rest)
{
	struct str id = str_word(rest, " \t\r\n");

	bool ok = id.len > 4 && id.len <= 900 && str_starts(id, "<") &&
		  str_ends(id, ">") && utf8_is_ascii(id);
	for (size_t i = 1; i + 1 < id.len && ok; i++)
		ok = id.ptr[i] > 0x20 && id.ptr[i] < 0x7f && id.ptr[i] != '<' &&
		     id.ptr[i] != '>';
	return ok ? id : STR_NONE;
}

/* RFC 5322 3.6.4: in the thread of the message; of a long one the last. */
static void put_thread(struct str head, struct buf *out)
{
	struct str value = mail_field_value(head, "Message-ID");
	struct str older = mail_field_value(head, "References");
	struct str id = message_id(&value), one, kept[REFERENCES_MAX];
	size_t n = 0;

	if (!str_present(id))
		return;
	buf_putf(out, "In-Reply-To: %.*s\r\nReferences:", STR_ARG(id));
	while (str_present(older) && older.len > 0) {
		one = message_id(&older);
		if (str_present(one))
			kept[n++ % REFERENCES_MAX] = one;
	}
	size_t first = n > REFERENCES_MAX ? n - REFERENCES_MAX : 0;
	for (size_t i = first; i < n; i++)
		buf_putf(out, " %.*s\r\n", STR_ARG(kept[i % REFERENCES_MAX]));
	buf_putf(out, " %.*s\r\n", STR_ARG(id));
}

static void put_part(const struct dsn *d, const char *description,
	const char *type, bool seven_bit, struct buf *out)
{
	buf_putf(out,
		"--%.*s/report\r\nContent-Description: %s\r\n"
		"Content-Type: %s\r\nContent-Transfer-Encoding: %s\r\n\r\n",
		STR_ARG(d->message_id), description, type,
		seven_bit ? "7bit" : "8bit");
}

static const char *original_type(const struct dsn *d)
{
	if (d->headers_only)
		return d->utf8 ? "message/global-headers"
			       : "text/rfc822-headers";
	return d->utf8 ? "message/global" : "message/rfc822";
}

/* "MAILER-DAEMON (Mail Delivery System)": a name alone is of this host. */
static void put_from(const struct dsn *d, struct buf *out)
{
	struct str from = d->template != NULL ? d->template->from : STR_NONE;
	struct mail_address_list list = {0};
	struct arena *a CLEANUP(arena_freep) = arena_new(65536);

	if (!str_present(from) || !mail_address_parse(from, 1, a, &list) ||
		list.n == 0) {
		buf_putf(out,
			"From: MAILER-DAEMON@%.*s (Mail Delivery System)\r\n",
			STR_ARG(d->reporting_mta));
		return;
	}
	const struct mail_address *m = &list.v[0];
	bool bare = str_find(m->spec, '@') < 0;
	buf_puts(out, "From: ");
	if (str_present(m->name) && m->name.len > 0) {
		encword_put_phrase(m->name, 6, out);
		buf_putc(out, ' ');
	}
	buf_putf(out, "<%.*s%s%.*s>\r\n", STR_ARG(m->spec), bare ? "@" : "",
		STR_ARG(bare ? d->reporting_mta : STR("")));
}

static void put_subject(const struct dsn *d, struct buf *out)
{
	bool own = d->template == NULL || !str_present(d->template->subject);

	buf_puts(out, "Subject: ");
	if (own)
		buf_puts(out, d->words->subject[d->rcpts[0].action]);
	else
		encword_put(d->template->subject, 9, out);
	buf_puts(out, "\r\n");
}

void dsn_put(const struct dsn *d, struct buf *out)
{
	struct str head, body;

	mail_split(d->original, &head, &body);
	buf_puts(out, "Date: ");
	put_date(d, d->now, out);
	put_from(d, out);
	put_subject(d, out);
	buf_puts(out, "To: ");
	put_line(d->to, 900, out);
	buf_putf(out, "\r\nMessage-ID: <%.*s>\r\n", STR_ARG(d->message_id));
	if (d->threaded)
		put_thread(head, out);
	buf_putf(out,
		"Auto-Submitted: auto-replied\r\nContent-Language: %s\r\n"
		"MIME-Version: 1.0\r\n"
		"Content-Type: multipart/report; report-type=delivery-status;"
		"\r\n\tboundary=\"%.*s/report\"\r\n"
		"Content-Transfer-Encoding: 8bit\r\n\r\n",
		d->words->language, STR_ARG(d->message_id));
	put_part(d, "Notification", "text/plain; charset=utf-8", false, out);
	put_text(d, out);
	put_part(d, "Delivery report",
		d->utf8 ? "message/global-delivery-status"
			: "message/delivery-status",
		!d->utf8, out);
	put_status(d, out);
	buf_puts(out, "\r\n");
	put_part(d, d->headers_only ? "Message headers" : "Message",
		original_type(d), false, out);
	buf_put(out, head);
	if (!d->headers_only) {
		buf_puts(out, "\r\n");
		buf_put(out, body);
	}
	buf_putf(out, "\r\n--%.*s/report--\r\n", STR_ARG(d->message_id));
}
