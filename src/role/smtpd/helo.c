/* SPDX-License-Identifier: ISC */
/* HELO and EHLO: RFC 5321 4.1.1.1 */
#include "role/smtpd/milters.h"

/* With smtpd_delay_reject = no the lists answer here. */
static bool refused_now(struct session *s)
{
	struct check check = smtpd_check(s, s->cmd_a);

	if (s->sv->c->smtpd_delay_reject)
		return false;
	struct decision d = restrict_stage(&check, STAGE_HELO);
	if (d.verdict != VERDICT_REJECT) {
		smtpd_skip_actions(s, &check);
		return false;
	}
	smtpd_refuse_decision(s, &check, &d, "helo");
	s->helo = STR_NONE;
	return true;
}

static bool take_name(struct session *s, struct str args, bool esmtp)
{
	if (args.len == 0) {
		smtpd_refuse(s, 501, "Syntax: %s hostname",
			s->sv->lmtp ? "LHLO"
			: esmtp     ? "EHLO"
				    : "HELO");
		return false;
	}
	/* A long name is cut, not stored: attack 15. */
	transaction_reset(s);
	s->helo = arena_str(s->a, str_sub(args, 0, 255));
	s->esmtp = esmtp;
	if (refused_now(s))
		return false;
	if (!milters_helo(s))
		return true;
	s->helo = STR_NONE;
	return false;
}

void smtpd_helo(struct session *s, struct str args)
{
	if (take_name(s, args, false))
		smtpd_reply(s, 250, "%.*s", STR_ARG(s->sv->c->myhostname));
}

static void keyword(struct session *s, struct strs *list, const char *word)
{
	struct str text = str_from(word);
	struct str name = str_cut(&text, ' ');

	if (!smtpd_keyword_discarded(s, name))
		strs_add(list, s->cmd_a, arena_str(s->cmd_a, str_from(word)));
}

static void auth_keywords(struct session *s, struct strs *list)
{
	struct buf mechs CLEANUP(buf_fini);

	buf_init(&mechs, 512);
	struct fault f;

	if (!smtpd_mechanisms(s, &mechs) ||
		match_address(s->sv->sasl_exceptions, s->addr, s->addr_len,
			s->client, s->cmd_a, &f) == TABLE_FOUND)
		return;
	keyword(s, list,
		arena_printf(s->cmd_a, "AUTH%.*s", STR_ARG(buf_str(&mechs)))
			.ptr);
	/* Clients of the nineties want an equals sign. */
	if (s->sv->c->broken_sasl_auth_clients)
		keyword(s, list,
			arena_printf(s->cmd_a, "AUTH=%.*s",
				STR_ARG(str_from_at(buf_str(&mechs), 1)))
				.ptr);
}

static void offered_keywords(struct session *s, struct strs *list)
{
	unsigned offered = smtpd_offered(s);

	if ((offered & SMTP_OFFER_BINARYMIME) != 0)
		keyword(s, list, "BINARYMIME");
	if ((offered & SMTP_OFFER_UTF8) != 0)
		keyword(s, list, "SMTPUTF8");
	if ((offered & SMTP_OFFER_REQUIRETLS) != 0)
		keyword(s, list, "REQUIRETLS");
	if ((offered & SMTP_OFFER_PRIORITY) != 0)
		keyword(s, list, "MT-PRIORITY");
	if ((offered & SMTP_OFFER_DELIVERBY) != 0)
		keyword(s, list, "DELIVERBY");
	if ((offered & SMTP_OFFER_FUTURERELEASE) != 0)
		keyword(s, list, smtpd_future_release_keyword(s));
	if ((offered & SMTP_OFFER_VERP) != 0)
		keyword(s, list, "XVERP");
}

void smtpd_ehlo(struct session *s, struct str args)
{
	const struct conf *c = s->sv->c;
	struct strs list = {0};

	if (!take_name(s, args, true))
		return;
	strs_add(&list, s->cmd_a, c->myhostname);
	keyword(s, &list, "PIPELINING");
	keyword(s, &list,
		c->message_size_limit > 0
			? arena_printf(s->cmd_a, "SIZE %lld",
				  (long long)c->message_size_limit)
				  .ptr
			: "SIZE");
	if (s->sv->tls_offered && !stream_is_tls(s->stream))
		keyword(s, &list, "STARTTLS");
	auth_keywords(s, &list);
	keyword(s, &list, "ENHANCEDSTATUSCODES");
	keyword(s, &list, "8BITMIME");
	keyword(s, &list, "DSN");
	keyword(s, &list, "CHUNKING");
	offered_keywords(s, &list);
	if (smtpd_etrn_offered(s))
		keyword(s, &list, "ETRN");
	/* RFC 9422 */
	keyword(s, &list,
		arena_printf(s->cmd_a, "LIMITS RCPTMAX=%lld",
			(long long)c->smtpd_recipient_limit)
			.ptr);
	smtpd_x_keywords(s, &list);
	keyword(s, &list, "HELP");
	for (size_t i = 0; i < list.n; i++) {
		stream_puts(s->stream, i + 1 < list.n ? "250-" : "250 ");
		stream_put(s->stream, list.v[i]);
		stream_puts(s->stream, "\r\n");
	}
}
