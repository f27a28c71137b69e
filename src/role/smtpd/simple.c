/* SPDX-License-Identifier: ISC */
/* The commands of a few lines: RSET, NOOP, QUIT, VRFY, HELP, STARTTLS. */
#include "policy/rewrite.h"
#include "role/smtpd/smtpd.h"

void smtpd_rset(struct session *s, struct str args)
{
	if (args.len > 0) {
		smtpd_refuse(s, 501, "5.5.4 Syntax: RSET");
		return;
	}
	transaction_reset(s);
	smtpd_reply(s, 250, "2.0.0 Ok");
}

void smtpd_noop(struct session *s, struct str args UNUSED)
{
	smtpd_reply(s, 250, "2.0.0 Ok");
}

void smtpd_quit(struct session *s, struct str args UNUSED)
{
	smtpd_reply(s, 221, "2.0.0 Bye");
	s->closing = true;
}

void smtpd_help(struct session *s, struct str args UNUSED)
{
	smtpd_reply(s, 214,
		"2.0.0 EHLO HELO STARTTLS AUTH MAIL RCPT DATA BDAT RSET NOOP "
		"VRFY "
		"HELP QUIT");
}

/* RFC 5321 3.5.3: says nothing that RCPT would not say. */
void smtpd_vrfy(struct session *s, struct str args)
{
	if (s->sv->c->disable_vrfy_command) {
		smtpd_refuse(s, 502, "5.5.1 VRFY command is disabled");
		return;
	}
	if (args.len == 0) {
		smtpd_refuse(s, 501, "5.5.4 Syntax: VRFY address");
		return;
	}
	smtpd_reply(s, 252, "2.0.0 Send mail to find out");
}

void smtpd_starttls(struct session *s, struct str args)
{
	if (args.len > 0) {
		smtpd_refuse(s, 501, "5.5.4 Syntax: STARTTLS");
		return;
	}
	if (stream_is_tls(s->stream)) {
		smtpd_refuse(s, 503, "5.5.1 Error: TLS already active");
		return;
	}
	if (!s->sv->tls_offered) {
		smtpd_refuse(s, 502, "5.5.1 Error: STARTTLS is not offered");
		return;
	}
	/* What came behind the command is an injection: attack 6. */
	if (stream_buffered(s->stream)) {
		smtpd_reply(s, 501,
			"5.5.0 Error: data sent behind STARTTLS before TLS");
		s->closing = true;
		return;
	}
	smtpd_reply(s, 220, "2.0.0 Ready to start TLS");
	s->handshake = true;
}
