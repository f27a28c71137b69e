/* SPDX-License-Identifier: ISC */
/* Received: RFC 5321 4.4, RFC 3848 and RFC 6531 (transmission types) */
#include "codec/mail/date.h"
#include "codec/mail/header.h"
#include "role/smtpd/smtpd.h"

/* A HELO name in a header must not end the line or a comment. */
static void put_safe(struct str text, struct buf *out)
{
	for (size_t i = 0; i < text.len && i < 255; i++) {
		char c = text.ptr[i];
		bool plain = ascii_is_alnum(c) || c == '.' || c == '-' ||
			     c == '_' || c == ':' || c == '[' || c == ']' ||
			     (unsigned char)c >= 0x80;

		buf_putc(out, plain ? c : '?');
	}
}

static void put_protocol(const struct session *s, struct buf *out)
{
	if ((s->tx.mail.flags & SMTP_MAIL_UTF8) != 0)
		buf_puts(out, s->sv->lmtp ? "UTF8LMTP" : "UTF8SMTP");
	else
		buf_puts(out, s->sv->lmtp ? "LMTP"
			      : s->esmtp  ? "ESMTP"
					  : "SMTP");
	if (stream_is_tls(s->stream) && s->esmtp)
		buf_putc(out, 'S');
	if (str_present(s->login) && s->esmtp)
		buf_putc(out, 'A');
}

void smtpd_put_received(struct session *s, struct buf *out)
{
	const struct conf *c = s->sv->c;
	int64_t now = clock_unix();
	char id[ID_TEXT];

	id_text(s->tx.id, id);
	if (c->smtpd_hide_client_session && !s->sv->service->local) {
		buf_putf(out, "Received: by %.*s (%.*s) with ",
			STR_ARG(c->myhostname), STR_ARG(c->mail_name));
		put_protocol(s, out);
		buf_putf(out, "\r\n\tid %s; ", id);
		mail_date_put(now, clock_zone_minutes(now), out);
		buf_puts(out, "\r\n");
		return;
	}
	if (s->sv->service->local) {
		buf_putf(out,
			"Received: by %.*s (%.*s, from userid %u)\r\n\tid %s; ",
			STR_ARG(c->myhostname), STR_ARG(c->mail_name), s->uid,
			id);
		mail_date_put(now, clock_zone_minutes(now), out);
		buf_puts(out, "\r\n");
		return;
	}
	buf_puts(out, "Received: from ");
	put_safe(str_present(s->helo) ? s->helo : s->client, out);
	buf_puts(out, " (");
	put_safe(s->client_name, out);
	buf_puts(out, s->addr_len == 16 ? " [IPv6:" : " [");
	put_safe(s->client, out);
	buf_puts(out, "])\r\n");
	if (c->smtpd_tls_received_header && stream_is_tls(s->stream))
		buf_putf(out, "\t(using %s with cipher %s)\r\n",
			stream_tls_version(s->stream),
			stream_tls_cipher(s->stream));
	if (c->smtpd_sasl_authenticated_header && str_present(s->login))
		buf_putf(out, "\t(Authenticated sender: %.*s)\r\n",
			STR_ARG(s->login));
	buf_putf(out, "\tby %.*s (%.*s) with ", STR_ARG(c->myhostname),
		STR_ARG(c->mail_name));
	put_protocol(s, out);
	buf_putf(out, " id %s", id);
	/* RFC 5321 7.2: never more than one address, Bcc stays blind. */
	if (s->tx.n_rcpts == 1)
		buf_putf(out, "\r\n\tfor <%.*s>",
			STR_ARG(s->tx.rcpts[0].original));
	buf_puts(out, "; ");
	mail_date_put(now, clock_zone_minutes(now), out);
	buf_puts(out, "\r\n");
}
