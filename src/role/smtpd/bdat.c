/* SPDX-License-Identifier: ISC */
/*
 * BDAT: RFC 3030.  Whatever is answered, the octets of the chunk are eaten
 * first: what the client means as text is never taken for commands.
 */
#include "role/smtpd/milters.h"

/* False: the connection is gone.  r: NULL to drop the octets. */
static bool eat(struct session *s, struct reception *r, uint64_t octets)
{
	struct buf out CLEANUP(buf_fini);
	struct reception drop = {.start_ms = clock_mono_ms()};

	buf_init(&out, SMTPD_PIECE_BYTES + 16);
	while (octets > 0) {
		struct str in;

		stream_deadline(s->stream, s->sv->c->smtpd_timeout * 1000);
		enum line_result l = stream_some(s->stream,
			octets < SMTPD_PIECE_BYTES ? (size_t)octets
						   : SMTPD_PIECE_BYTES,
			&in);
		if (l != LINE_OK)
			return false;
		octets -= in.len;
		if (r == NULL) {
			drop.spool.size += in.len;
			if (reception_too_slow(&drop))
				return false;
			continue;
		}
		if (reception_too_slow(r))
			return false;
		buf_reset(&out);
		smtp_chunk_feed(&r->data, in, &out);
		reception_put(r, buf_str(&out));
	}
	return true;
}

static void lost(struct session *s)
{
	log_info("lost connection", log_z("stage", "bdat"),
		log_s("client", s->client));
	s->closing = true;
	transaction_reset(s);
}

/* Why no chunk may come now; NULL: it may. */
static const char *out_of_order(const struct session *s, int *code_r)
{
	*code_r = 503;
	if (s->sv->tls_required && !stream_is_tls(s->stream)) {
		*code_r = 530;
		return "5.7.0 Must issue a STARTTLS command first";
	}
	if (s->tx.n_rcpts > 0)
		return NULL;
	if (!s->tx.open || s->sv->lmtp)
		return "5.5.1 Error: need RCPT command";
	*code_r = 554;
	return "5.5.1 Error: no valid recipients";
}

/* The first chunk is what DATA would be; true: refused and answered. */
static bool first_refused(struct session *s, uint64_t octets)
{
	if (s->tx.reception != NULL)
		return false;
	if (smtpd_data_list_refuses(s, STAGE_DATA) || milters_data(s)) {
		if (!eat(s, NULL, octets))
			s->closing = true;
		transaction_reset(s);
		return true;
	}
	s->tx.reception = reception_new(s);
	return false;
}

static void last_chunk(struct session *s)
{
	struct reception *r = s->tx.reception;
	struct buf out CLEANUP(buf_fini);

	buf_init(&out, 16);
	/* The last octet of raw octets is the last. */
	if (r->mode != NEWLINE_BINARY) {
		smtp_chunk_end(&r->data, &out);
		reception_put(r, buf_str(&out));
	}
	reception_end(r);
	transaction_reset(s);
}

void smtpd_bdat(struct session *s, struct str args)
{
	uint64_t octets;
	bool last;
	int code;

	if (!smtp_bdat_parse(args, &octets, &last)) {
		/* Nobody knows how many octets follow: attack 14. */
		smtpd_refuse(s, 501, "5.5.4 Syntax: BDAT count [LAST]");
		transaction_reset(s);
		s->closing = true;
		return;
	}
	const char *why = out_of_order(s, &code);
	if (why != NULL) {
		if (!eat(s, NULL, octets)) {
			lost(s);
			return;
		}
		smtpd_refuse(s, code, "%s", why);
		return;
	}
	if (first_refused(s, octets))
		return;
	if (!eat(s, s->tx.reception, octets)) {
		lost(s);
	} else if (last) {
		last_chunk(s);
	} else if (reception_refuses(s->tx.reception)) {
		transaction_reset(s);
	} else {
		smtpd_reply(s, 250, "2.0.0 Ok: %llu octets",
			(unsigned long long)octets);
	}
}
