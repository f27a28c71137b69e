/* SPDX-License-Identifier: ISC */
/*
 * BDAT: RFC 3030.  Whatever is answered, the octets of the chunk are eaten
 * first: what the client means as text is never taken for commands.
 */
#include "role/smtpd/milters.h"

static void lost(struct session *s)
{
	log_info("lost connection", log_z("stage", "bdat"),
		log_s("client", s->client));
	s->closing = true;
	s->mode = MODE_COMMANDS;
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
static bool first_refused(struct session *s)
{
	if (s->tx.reception != NULL)
		return false;
	if (smtpd_data_list_refuses(s, STAGE_DATA) || milters_data(s)) {
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
}

/* All octets of the chunk are eaten. */
static void chunk_end(struct session *s)
{
	const struct bdat_chunk *c = &s->chunk;

	s->mode = MODE_COMMANDS;
	if (!c->taken) {
		if (c->code != 0)
			smtpd_refuse(s, c->code, "%s", c->why);
	} else if (c->last) {
		last_chunk(s);
	} else if (reception_refuses(s->tx.reception)) {
		transaction_reset(s);
	} else {
		smtpd_reply(s, 250, "2.0.0 Ok: %llu octets",
			(unsigned long long)c->octets);
	}
}

static bool too_slow(const struct session *s)
{
	const struct bdat_chunk *c = &s->chunk;
	struct reception drop = {.start_ms = c->start_ms};

	if (c->taken)
		return reception_too_slow(s, s->tx.reception);
	drop.spool.size = c->dropped;
	return reception_too_slow(s, &drop);
}

static void take(struct session *s, struct str in)
{
	struct buf out CLEANUP(buf_fini);

	s->chunk.left -= in.len;
	if (!s->chunk.taken) {
		s->chunk.dropped += in.len;
		return;
	}
	buf_init(&out, SMTPD_PIECE_BYTES + 16);
	smtp_chunk_feed(&s->tx.reception->data, in, &out);
	reception_put(s->tx.reception, buf_str(&out));
}

bool smtpd_bdat_more(struct session *s)
{
	uint64_t left = s->chunk.left;
	struct str in;

	if (left == 0) {
		chunk_end(s);
		return true;
	}
	enum line_result l = stream_some_now(s->stream,
		left < SMTPD_PIECE_BYTES ? (size_t)left : SMTPD_PIECE_BYTES,
		&in);
	if (l == LINE_NOT_YET && !too_slow(s))
		return false;
	if (l != LINE_OK || too_slow(s))
		lost(s);
	else
		take(s, in);
	return true;
}

void smtpd_bdat(struct session *s, struct str args)
{
	struct bdat_chunk c = {.start_ms = clock_mono_ms()};

	if (!smtp_bdat_parse(args, &c.octets, &c.last)) {
		/* Nobody knows how many octets follow: attack 14. */
		smtpd_refuse(s, 501, "5.5.4 Syntax: BDAT count [LAST]");
		transaction_reset(s);
		s->closing = true;
		return;
	}
	c.left = c.octets;
	c.why = out_of_order(s, &c.code);
	if (c.why == NULL) {
		c.code = 0;
		c.taken = !first_refused(s);
	}
	s->chunk = c;
	s->mode = MODE_BDAT;
}
