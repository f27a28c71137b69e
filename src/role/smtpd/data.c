/* SPDX-License-Identifier: ISC */
/* DATA: RFC 5321 4.1.1.4 */
#include "role/smtpd/milters.h"

/* Reads up to the final dot.  False: the connection is gone. */
static bool receive(struct session *s, struct reception *r)
{
	struct buf out CLEANUP(buf_fini);

	buf_init(&out, SMTPD_PIECE_BYTES + 16);
	while (r->data.state != SMTP_DATA_END) {
		struct str in;

		stream_deadline(s->stream, s->sv->c->smtpd_timeout * 1000);
		enum line_result l =
			stream_some(s->stream, SMTPD_PIECE_BYTES, &in);
		if (l != LINE_OK || reception_too_slow(r))
			return false;
		buf_reset(&out);
		size_t eaten = smtp_data_feed(&r->data, in, &out);
		stream_unread(s->stream, in.len - eaten);
		reception_put(r, buf_str(&out));
	}
	return true;
}

void smtpd_data(struct session *s, struct str args)
{
	if (args.len > 0) {
		smtpd_refuse(s, 501, "5.5.4 Syntax: DATA");
		return;
	}
	if (s->tx.reception != NULL) {
		smtpd_refuse(s, 503, "5.5.1 Error: DATA after BDAT");
		return;
	}
	/* RFC 3030 3: raw octets have no end that a dot could mark. */
	if ((s->tx.mail.flags & SMTP_MAIL_BINARY) != 0) {
		smtpd_refuse(s, 503, "5.5.1 Error: BINARYMIME needs BDAT");
		return;
	}
	if (s->tx.n_rcpts == 0) {
		/* RFC 2033 4.2 asks for 503 in any case. */
		bool open = s->tx.open && !s->sv->lmtp;

		smtpd_refuse(s, open ? 554 : 503,
			open ? "5.5.1 Error: no valid recipients"
			     : "5.5.1 Error: need RCPT command");
		return;
	}
	if (smtpd_data_list_refuses(s, STAGE_DATA) || milters_data(s)) {
		transaction_reset(s);
		return;
	}
	smtpd_reply(s, 354, "End data with <CR><LF>.<CR><LF>");
	stream_flush(s->stream);
	s->tx.reception = reception_new(s);
	if (!receive(s, s->tx.reception)) {
		log_info("lost connection", log_z("stage", "data"),
			log_s("client", s->client));
		s->closing = true;
	} else {
		reception_end(s->tx.reception);
	}
	transaction_reset(s);
}
