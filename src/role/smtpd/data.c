/* SPDX-License-Identifier: ISC */
/* DATA: RFC 5321 4.1.1.4 */
#include <string.h>
#include <unistd.h>

#include "codec/smtp/data.h"
#include "role/smtpd/smtpd.h"
#include "sys/file.h"

enum { PIECE = 32768, RATE_BYTES = 500, GRACE_S = 60 };

enum newline_mode { NEWLINE_REJECT, NEWLINE_NORMALIZE, NEWLINE_KEEP };

static enum newline_mode newline_mode(struct session *s)
{
	struct str mode = s->sv->c->smtpd_forbid_bare_newline;
	struct fault f;

	if (match_address(s->sv->policy->bare_newline_exclusions, s->addr,
		    s->addr_len, s->client, s->cmd_a, &f) == TABLE_FOUND)
		return NEWLINE_NORMALIZE;
	if (str_ieqc(mode, "no") || str_ieqc(mode, "note"))
		return NEWLINE_NORMALIZE;
	return str_ieqc(mode, "normalize") || str_ieqc(mode, "yes")
		       ? NEWLINE_NORMALIZE
		       : NEWLINE_REJECT;
}

/* CR or LF alone become CRLF: what is stored has one line end only. */
static void put_normalized(struct spool *sp, struct str in)
{
	struct buf out CLEANUP(buf_fini);

	buf_init(&out, in.len * 2 + 2);
	for (size_t i = 0; i < in.len; i++) {
		char c = in.ptr[i];
		bool pair =
			c == '\r' && i + 1 < in.len && in.ptr[i + 1] == '\n';

		if (c != '\r' && c != '\n') {
			buf_putc(&out, c);
			continue;
		}
		buf_put_mem(&out, "\r\n", 2);
		i += pair;
	}
	spool_put(sp, buf_str(&out));
}

/* The slowest that a client may be: a minimum rate behind a grace time. */
static bool too_slow(int64_t start_ms, uint64_t bytes)
{
	int64_t seconds = (clock_mono_ms() - start_ms) / 1000;

	return seconds > GRACE_S &&
	       bytes < (uint64_t)(seconds - GRACE_S) * RATE_BYTES;
}

/* Reads up to the final dot.  False: the connection is gone. */
static bool receive(struct session *s, struct smtp_data *d, struct spool *sp,
	bool *over_r, enum newline_mode mode)
{
	struct buf out CLEANUP(buf_fini);
	int64_t start = clock_mono_ms();
	uint64_t limit = (uint64_t)s->sv->c->message_size_limit;

	buf_init(&out, PIECE + 16);
	while (d->state != SMTP_DATA_END) {
		struct str in;

		stream_deadline(s->stream, s->sv->c->smtpd_timeout * 1000);
		enum line_result r = stream_some(s->stream, PIECE, &in);
		if (r != LINE_OK || too_slow(start, sp->size))
			return false;
		buf_reset(&out);
		size_t eaten = smtp_data_feed(d, in, &out);
		stream_unread(s->stream, in.len - eaten);
		sp->size += out.len;
		*over_r |= limit > 0 && sp->size > limit;
		if (*over_r)
			continue; /* read on, keep nothing */
		if (mode == NEWLINE_NORMALIZE && d->bare_newline)
			put_normalized(sp, buf_str(&out));
		else
			spool_put(sp, buf_str(&out));
	}
	return true;
}

/* What the text itself forbids; true: refused and answered. */
static bool bad_text(struct session *s, const struct smtp_data *d,
	struct spool *sp, bool over, enum newline_mode mode)
{
	const struct conf *c = s->sv->c;

	if (over)
		smtpd_refuse(s, 552,
			"5.3.4 Message size exceeds the limit of %lld bytes",
			(long long)c->message_size_limit);
	else if (d->bare_newline && mode == NEWLINE_REJECT)
		smtpd_refuse(s, (int)c->smtpd_forbid_bare_newline_reject_code,
			"5.5.2 Bare CR or LF in the message");
	else if (d->has_nul)
		smtpd_refuse(s, 550, "5.6.0 NUL byte in the message");
	else if (sp->loop)
		smtpd_refuse(s, 554, "5.4.6 Error: too many hops");
	else
		return false;
	return true;
}

static bool list_refuses(struct session *s, enum restriction_stage stage)
{
	struct check check = smtpd_check(s, s->cmd_a);
	struct decision d;

	if (s->tx.n_rcpts == 1)
		check.recipient = s->tx.rcpts[0].original;
	d = restrict_stage(&check, stage);
	s->delay_ms += d.sleep_ms;
	if (d.verdict == VERDICT_PERMIT)
		return false;
	smtpd_refuse_decision(
		s, &check, &d, stage == STAGE_DATA ? "data" : "end of data");
	return true;
}

static void finish(struct session *s, struct spool *sp)
{
	char id[ID_TEXT];
	uint64_t size;
	struct fault f;

	id_text(s->tx.id, id);
	int fd CLEANUP(fd_close) = spool_finish(sp, &size, &f);
	if (s->tx.discard && fd >= 0) {
		log_info("discard", log_z("queue_id", id),
			log_s("client", s->client));
		smtpd_reply(s, 250, "2.0.0 Ok: discarded as %s", id);
		return;
	}
	if (fd >= 0 && smtpd_handover(s, fd, size, sp->has_8bit, &f)) {
		s->mails++;
		s->errors = 0;
		s->junk = 0;
		smtpd_reply(s, 250, "2.0.0 Ok: queued as %s", id);
		return;
	}
	log_warn("not accepted", log_z("queue_id", id),
		log_s("client", s->client), log_fault(&f));
	smtpd_reply(s, f.code >= 400 ? f.code : 451, "%d.%d.%d %s",
		f.class == FAULT_PERM ? 5 : 4, f.subject, f.detail,
		f.class == FAULT_PERM ? f.text
				      : "Error: the message could not be "
					"stored; try again later");
}

void smtpd_data(struct session *s, struct str args)
{
	struct smtp_data d;
	struct spool sp;
	bool over = false;

	if (args.len > 0) {
		smtpd_refuse(s, 501, "5.5.4 Syntax: DATA");
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
	if (list_refuses(s, STAGE_DATA)) {
		transaction_reset(s);
		return;
	}
	smtpd_reply(s, 354, "End data with <CR><LF>.<CR><LF>");
	stream_flush(s->stream);
	/* RFC 2033 4.2: one reply for each RCPT that was answered with 250.
	 * The message is taken or refused as a whole: they are the same. */
	if (s->sv->lmtp)
		s->tx.more_replies = s->tx.accepted - 1;
	enum newline_mode mode = newline_mode(s);
	smtp_data_init(&d);
	spool_init(&sp, s);
	if (!receive(s, &d, &sp, &over, mode)) {
		log_info("lost connection", log_z("stage", "data"),
			log_s("client", s->client));
		s->closing = true;
	} else if (!bad_text(s, &d, &sp, over, mode) &&
		   !list_refuses(s, STAGE_END_OF_DATA)) {
		sp.has_8bit = d.has_8bit;
		finish(s, &sp);
	}
	spool_fini(&sp);
	transaction_reset(s);
}
