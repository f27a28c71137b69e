/* SPDX-License-Identifier: ISC */
#include "codec/mail/dsn.h"

#include "base/utf8.h"
#include "codec/mail/date.h"
#include "codec/mail/header.h"

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

static void put_text(const struct dsn *d, struct buf *out)
{
	bool failed = d->rcpts[0].action == DSN_FAILED;
	bool delayed = d->rcpts[0].action == DSN_DELAYED;

	buf_putf(out, "This is the mail system at %.*s.\r\n\r\n",
		STR_ARG(d->reporting_mta));
	buf_puts(out,
		failed    ? "Your message could not be delivered to:\r\n"
		: delayed ? "Your message has not been delivered yet; you need "
			    "not send it again.\r\nStill waiting for:\r\n"
			  : "Your message was delivered to:\r\n");
	for (size_t i = 0; i < d->n_rcpts; i++) {
		buf_puts(out, "\r\n<");
		put_line(d->rcpts[i].address, 500, out);
		buf_puts(out, ">:\r\n    ");
		if (d->rcpts[i].mta.len > 0)
			buf_putf(out,
				"host %.*s said: ", STR_ARG(d->rcpts[i].mta));
		put_line(d->rcpts[i].reply, 900, out);
		buf_puts(out, "\r\n");
	}
	buf_puts(out, "\r\n");
}

static void put_date(const struct dsn *d, int64_t at, struct buf *out)
{
	mail_date_put(at, d->zone_minutes, out);
	buf_puts(out, "\r\n");
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
	buf_puts(out, utf8_is_ascii(r->address) ? "Final-Recipient: rfc822; "
						: "Final-Recipient: utf-8; ");
	put_line(r->address, 1000, out);
	buf_putf(out, "\r\nAction: %s\r\nStatus: %d.%d.%d\r\n",
		action_names[r->action], r->class, r->subject, r->detail);
	if (r->mta.len > 0) {
		buf_puts(out, "Remote-MTA: dns; ");
		put_line(r->mta, 300, out);
		buf_puts(out, "\r\n");
	}
	if (r->reply.len > 0) {
		buf_puts(out, r->from_mta ? "Diagnostic-Code: smtp; "
					  : "Diagnostic-Code: x-postern; ");
		put_line(r->reply, 900, out);
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

static void put_subject(const struct dsn *d, struct buf *out)
{
	switch (d->rcpts[0].action) {
	case DSN_FAILED:
		buf_puts(out,
			"Subject: Undelivered Mail Returned to Sender\r\n");
		break;
	case DSN_DELAYED:
		buf_puts(
			out, "Subject: Delayed Mail (still being retried)\r\n");
		break;
	case DSN_DELIVERED:
	case DSN_RELAYED:
		buf_puts(out, "Subject: Successful Mail Delivery Report\r\n");
		break;
	}
}

void dsn_put(const struct dsn *d, struct buf *out)
{
	struct str head, body;

	mail_split(d->original, &head, &body);
	buf_puts(out, "Date: ");
	put_date(d, d->now, out);
	buf_putf(out, "From: MAILER-DAEMON@%.*s (Mail Delivery System)\r\n",
		STR_ARG(d->reporting_mta));
	put_subject(d, out);
	buf_puts(out, "To: ");
	put_line(d->to, 900, out);
	buf_putf(out, "\r\nMessage-ID: <%.*s>\r\n", STR_ARG(d->message_id));
	buf_puts(out, "Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n");
	buf_putf(out,
		"Content-Type: multipart/report; report-type=delivery-status;"
		"\r\n\tboundary=\"%.*s/report\"\r\n"
		"Content-Transfer-Encoding: 8bit\r\n\r\n",
		STR_ARG(d->message_id));
	buf_putf(out,
		"--%.*s/report\r\nContent-Description: Notification\r\n"
		"Content-Type: text/plain; charset=utf-8\r\n\r\n",
		STR_ARG(d->message_id));
	put_text(d, out);
	buf_putf(out,
		"--%.*s/report\r\nContent-Description: Delivery report\r\n"
		"Content-Type: message/delivery-status\r\n\r\n",
		STR_ARG(d->message_id));
	put_status(d, out);
	buf_putf(out,
		"\r\n--%.*s/report\r\nContent-Description: %s\r\n"
		"Content-Type: %s\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",
		STR_ARG(d->message_id),
		d->headers_only ? "Message headers" : "Message",
		d->headers_only ? "text/rfc822-headers" : "message/rfc822");
	buf_put(out, head);
	if (!d->headers_only) {
		buf_puts(out, "\r\n");
		buf_put(out, body);
	}
	buf_putf(out, "\r\n--%.*s/report--\r\n", STR_ARG(d->message_id));
}
