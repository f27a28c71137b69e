/* SPDX-License-Identifier: ISC */
/*
 * What DATA and BDAT have in common: the text of one mail comes in, is looked
 * at, and gets its end: 250, or a refusal.  RFC 5321 4.1.1.4, RFC 3030
 */
#include <stdlib.h>
#include <unistd.h>

#include "base/must.h"
#include "role/smtpd/milters.h"
#include "sys/file.h"

enum { GRACE_S = 60 };

static enum newline_mode newline_mode(struct session *s)
{
	struct str mode = s->sv->c->smtpd_forbid_bare_newline;
	struct fault f;

	if ((s->tx.mail.flags & SMTP_MAIL_BINARY) != 0)
		return NEWLINE_BINARY;
	/* The programs of this machine talk no other server into anything. */
	if (s->sv->service->local)
		return NEWLINE_NORMALIZE;
	if (match_address(s->sv->policy->bare_newline_exclusions, s->addr,
		    s->addr_len, s->client, s->cmd_a, &f) == TABLE_FOUND)
		return NEWLINE_NORMALIZE;
	if (str_ieqc(mode, "no") || str_ieqc(mode, "note"))
		return NEWLINE_NORMALIZE;
	return str_ieqc(mode, "normalize") || str_ieqc(mode, "yes")
		       ? NEWLINE_NORMALIZE
		       : NEWLINE_REJECT;
}

/* LF alone becomes CRLF: what is stored has one line end only.  CR alone is no
 * line end, and no server agrees with another about it: postconf(5)
 * cleanup_replace_stray_cr_lf. */
static void put_normalized(struct spool *sp, struct str in)
{
	bool blank = sp->s->sv->c->cleanup_replace_stray_cr_lf;

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
		if (c == '\r' && !pair && blank)
			buf_putc(&out, ' ');
		else
			buf_put_mem(&out, "\r\n", 2);
		i += pair;
	}
	spool_put(sp, buf_str(&out));
}

struct reception *reception_new(struct session *s)
{
	struct reception *r = must_alloc(sizeof(*r));

	r->session = s;
	r->mode = newline_mode(s);
	r->start_ms = clock_mono_ms();
	smtp_data_init(&r->data);
	spool_init(&r->spool, s);
	return r;
}

void reception_free(struct reception *r)
{
	if (r == NULL)
		return;
	spool_fini(&r->spool);
	free(r);
}

bool reception_too_slow(const struct session *s, const struct reception *r)
{
	int64_t seconds = (clock_mono_ms() - r->start_ms) / 1000;

	return seconds > GRACE_S &&
	       r->spool.size < (uint64_t)(seconds - GRACE_S) *
				       (uint64_t)s->sv->c->smtpd_min_data_rate;
}

void reception_put(struct reception *r, struct str text)
{
	uint64_t limit = (uint64_t)r->session->sv->c->message_size_limit;

	r->spool.size += text.len;
	r->over |= limit > 0 && r->spool.size > limit;
	if (r->over)
		return; /* read on, keep nothing */
	if (r->mode == NEWLINE_NORMALIZE && r->data.bare_newline)
		put_normalized(&r->spool, text);
	else
		spool_put(&r->spool, text);
}

void reception_failed(struct session *s, const struct fault *f)
{
	char id[ID_TEXT];

	id_text(s->tx.id, id);
	log_warn("not accepted", log_z("queue_id", id),
		log_s("client", s->client), log_fault(f));
	smtpd_reply(s, f->code >= 400 ? f->code : 451, "%d.%d.%d %s",
		f->class == FAULT_PERM ? 5 : 4, f->subject, f->detail,
		f->class == FAULT_PERM ? f->text
				       : "Error: the message could not be "
					 "stored; try again later");
}

bool reception_refuses(struct reception *r)
{
	struct session *s = r->session;

	if (r->over)
		smtpd_refuse(s, 552,
			"5.3.4 Message size exceeds the limit of %lld bytes",
			(long long)s->sv->c->message_size_limit);
	else if (r->spool.failed)
		reception_failed(s, &r->spool.fault);
	else
		return false;
	return true;
}

/* What the text itself forbids; true: refused and answered. */
static bool bad_text(struct reception *r)
{
	struct session *s = r->session;
	const struct conf *c = s->sv->c;
	const struct smtp_data *d = &r->data;

	if (r->over)
		return reception_refuses(r);
	if (d->bare_newline && r->mode == NEWLINE_REJECT)
		smtpd_refuse(s, (int)c->smtpd_forbid_bare_newline_reject_code,
			"5.5.2 Bare CR or LF in the message");
	else if (d->has_nul && r->mode != NEWLINE_BINARY &&
		 !s->sv->strip.has[0])
		smtpd_refuse(s, 550, "5.6.0 NUL byte in the message");
	else if (r->spool.loop)
		smtpd_refuse(s, 554, "5.4.6 Error: too many hops");
	else
		return false;
	return true;
}

bool smtpd_data_list_refuses(struct session *s, enum restriction_stage stage)
{
	struct check check = smtpd_check(s, s->cmd_a);
	struct decision d;

	if (s->tx.n_rcpts == 1)
		check.recipient = s->tx.rcpts[0].original;
	d = restrict_stage(&check, stage);
	s->delay_ms += d.sleep_ms;
	if (d.verdict == VERDICT_PERMIT) {
		smtpd_keep_actions(s, &check);
		return false;
	}
	smtpd_refuse_decision(
		s, &check, &d, stage == STAGE_DATA ? "data" : "end of data");
	return true;
}

static void finish(struct session *s, struct spool *sp)
{
	char id[ID_TEXT];
	struct text text CLEANUP(text_fini) = {.fd = -1};
	bool refused = false;
	struct fault f;

	id_text(s->tx.id, id);
	bool ok = spool_finish(sp, &text, &f);

	ok = ok &&
	     (s->tx.discard || smtpd_authenticate(s, &text, &refused, &f));
	ok = ok && (refused || smtpd_convert_binary(s, &text, &f));
	ok = ok && (s->tx.discard || refused ||
			   smtpd_check_content(s, &text, &refused, &f));
	ok = ok && (s->tx.discard || refused ||
			   milters_message(s, &text, &refused, &f));
	if (refused)
		return;
	if (s->tx.discard && ok) {
		log_info("discard", log_z("queue_id", id),
			log_s("client", s->client));
		smtpd_reply(s, 250, "2.0.0 Ok: discarded as %s", id);
		return;
	}
	if (ok && s->sv->proxy_filter.text.len > 0) {
		if (!smtpd_proxy_filter(s, &text, sp, &f))
			reception_failed(s, &f);
		return;
	}
	if (!ok || !smtpd_handover(s, &text, sp, &f))
		reception_failed(s, &f);
}

/* The text is looked at, and answered or handed over. */
static void look(struct reception *r)
{
	struct session *s = r->session;

	if (bad_text(r) || smtpd_data_list_refuses(s, STAGE_END_OF_DATA))
		return;
	r->spool.has_8bit = r->data.has_8bit;
	finish(s, &r->spool);
}

void reception_end(struct reception *r)
{
	struct session *s = r->session;

	/* RFC 2033 4.2: one reply for each RCPT that was answered with 250.
	 * The message is taken or refused as a whole: they are the same. */
	if (s->sv->lmtp)
		s->tx.more_replies = s->tx.accepted - 1;
	s->where = "END-OF-MESSAGE";
	s->mode = MODE_COMMANDS;
	look(r);
	if (s->mode == MODE_COMMANDS)
		transaction_reset(s);
}
