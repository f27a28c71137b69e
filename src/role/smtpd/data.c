/* SPDX-License-Identifier: ISC */
/* DATA: RFC 5321 4.1.1.4 */
#include "role/smtpd/milters.h"

bool smtpd_data_more(struct session *s)
{
	struct reception *r = s->tx.reception;
	struct buf out CLEANUP(buf_fini);
	struct str in;

	enum line_result l = stream_some_now(s->stream, SMTPD_PIECE_BYTES, &in);
	if (l == LINE_NOT_YET && !reception_too_slow(s, r))
		return false;
	if (l != LINE_OK || reception_too_slow(s, r)) {
		log_info("lost connection", log_z("stage", "data"),
			log_s("client", s->client));
		s->closing = true;
	} else {
		buf_init(&out, SMTPD_PIECE_BYTES + 16);
		buf_reserve(&out, in.len + 16);
		size_t eaten = smtp_data_feed(&r->data, in, &out);
		stream_unread(s->stream, in.len - eaten);
		reception_put(r, buf_str(&out));
		if (r->data.state != SMTP_DATA_END)
			return true;
		reception_end(r);
		return true;
	}
	s->mode = MODE_COMMANDS;
	transaction_reset(s);
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
	s->tx.reception = reception_new(s);
	s->mode = MODE_DATA;
}
