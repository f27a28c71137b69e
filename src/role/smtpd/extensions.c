/* SPDX-License-Identifier: ISC */
/*
 * The extensions that are on offer now, and what the parameters of MAIL that
 * belong to them mean for the transaction.  RFC 8689 (REQUIRETLS), RFC 6710
 * (MT-PRIORITY), RFC 2852 (DELIVERBY), RFC 4865 (FUTURERELEASE)
 */
#include "codec/mail/date.h"
#include "codec/smtp/verp.h"
#include "policy/rewrite.h"
#include "role/smtpd/smtpd.h"

/* What a proxy filter would take as said and not carry on. */
enum {
	NOT_THROUGH_A_FILTER = SMTP_OFFER_REQUIRETLS | SMTP_OFFER_PRIORITY |
			       SMTP_OFFER_DELIVERBY | SMTP_OFFER_FUTURERELEASE |
			       SMTP_OFFER_VERP
};

static struct str discarded(struct session *s)
{
	struct str value;
	struct fault f;

	return maps_lookup(s->sv->ehlo_maps, s->client, s->cmd_a, &value, &f) ==
			       TABLE_FOUND
		       ? value
		       : s->sv->c->smtpd_discard_ehlo_keywords;
}

bool smtpd_keyword_discarded(struct session *s, struct str keyword)
{
	return conf_option_has(discarded(s), arena_cstr(s->cmd_a, keyword));
}

/* Ours: who may say when and how urgently a mail goes out. */
static bool is_own_client(const struct session *s)
{
	return s->sv->submission || str_present(s->login) || s->trusted;
}

static bool may_verp(struct session *s)
{
	struct fault f;

	return s->sv->service->local ||
	       match_address(s->sv->verp_hosts, s->addr, s->addr_len, s->client,
		       s->cmd_a, &f) == TABLE_FOUND;
}

unsigned smtpd_offered(struct session *s)
{
	static const struct {
		const char *keyword;
		unsigned offer;
	} rows[] = {{"SMTPUTF8", SMTP_OFFER_UTF8},
		{"BINARYMIME", SMTP_OFFER_BINARYMIME},
		{"CHUNKING", SMTP_OFFER_BINARYMIME},
		{"REQUIRETLS", SMTP_OFFER_REQUIRETLS},
		{"MT-PRIORITY", SMTP_OFFER_PRIORITY},
		{"DELIVERBY", SMTP_OFFER_DELIVERBY},
		{"FUTURERELEASE", SMTP_OFFER_FUTURERELEASE},
		{"XVERP", SMTP_OFFER_VERP}};
	const struct conf *c = s->sv->c;
	unsigned offered = 0;

	if (!s->esmtp)
		return 0;
	if (c->smtputf8_enable)
		offered |= SMTP_OFFER_UTF8;
	offered |= SMTP_OFFER_BINARYMIME;
	/* RFC 8689 2: only inside of TLS */
	if (stream_is_tls(s->stream) && !s->sv->lmtp)
		offered |= SMTP_OFFER_REQUIRETLS;
	if (is_own_client(s) && !s->sv->lmtp) {
		offered |= SMTP_OFFER_PRIORITY | SMTP_OFFER_DELIVERBY;
		if (c->smtpd_future_release_limit > 0)
			offered |= SMTP_OFFER_FUTURERELEASE;
	}
	if (may_verp(s) && !s->sv->lmtp)
		offered |= SMTP_OFFER_VERP;
	if (s->sv->proxy_filter.text.len > 0)
		offered &= ~(unsigned)NOT_THROUGH_A_FILTER;
	struct str words = discarded(s);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (conf_option_has(words, rows[i].keyword))
			offered &= ~rows[i].offer;
	return offered;
}

/* RFC 4865 3: the longest time, and the latest */
const char *smtpd_future_release_keyword(struct session *s)
{
	int64_t limit = s->sv->c->smtpd_future_release_limit;
	struct buf date CLEANUP(buf_fini);

	buf_init(&date, 64);
	internet_date_put(clock_unix() + limit, &date);
	return arena_printf(s->cmd_a, "FUTURERELEASE %lld %.*s",
		(long long)limit, STR_ARG(buf_str(&date)))
		.ptr;
}

static bool take_times(struct session *s)
{
	struct transaction *tx = &s->tx;
	const struct smtp_mail *m = &tx->mail;
	int64_t now = clock_unix();
	int64_t limit = s->sv->c->smtpd_future_release_limit;

	if ((m->flags & SMTP_MAIL_HOLDFOR) != 0)
		tx->hold_until = now + m->hold_for;
	if ((m->flags & SMTP_MAIL_HOLDUNTIL) != 0)
		tx->hold_until = m->hold_until;
	if (tx->hold_until > now + limit) {
		smtpd_refuse(s, 501,
			"5.5.4 A mail is held back for at most %lld seconds",
			(long long)limit);
		return false;
	}
	if ((m->flags & SMTP_MAIL_HOLDUNTIL) != 0 && tx->hold_until < now) {
		smtpd_refuse(s, 501, "5.5.4 HOLDUNTIL is in the past");
		return false;
	}
	if ((m->flags & SMTP_MAIL_BY) == 0)
		return true;
	tx->deliver_by = now + m->by;
	if (tx->hold_until > 0 && tx->deliver_by <= tx->hold_until) {
		smtpd_refuse(s, 501,
			"5.5.4 BY ends before the mail may be released");
		return false;
	}
	return true;
}

static bool take_verp(struct session *s)
{
	const struct conf *c = s->sv->c;
	const struct smtp_mail *m = &s->tx.mail;
	struct str delimiters =
		str_present(m->verp) ? m->verp : c->default_verp_delimiters;

	if ((m->flags & SMTP_MAIL_VERP) == 0)
		return true;
	if (m->from.whole.len == 0) {
		smtpd_refuse(s, 503, "5.5.4 Error: XVERP needs a sender");
		return false;
	}
	if (!verp_delimiters_fit(delimiters, c->verp_delimiter_filter)) {
		smtpd_refuse(s, 501, "5.5.4 Bad XVERP delimiters");
		return false;
	}
	s->tx.verp = delimiters;
	return true;
}

bool smtpd_take_extensions(struct session *s)
{
	const struct smtp_mail *m = &s->tx.mail;
	unsigned times = SMTP_MAIL_HOLDFOR | SMTP_MAIL_HOLDUNTIL | SMTP_MAIL_BY;

	/* On offer before AUTH, as EHLO is not said again behind it. */
	if ((m->flags & times) != 0 && !str_present(s->login) && !s->trusted) {
		smtpd_refuse(s, 530, "5.7.0 Authentication required");
		return false;
	}
	if (!take_verp(s) || !take_times(s))
		return false;
	s->tx.priority = m->priority;
	/* RFC 6710 4: nobody but our own users may push in front. */
	if (m->priority > 0 && !str_present(s->login) && !s->trusted)
		s->tx.priority = 0;
	return true;
}

void smtpd_mail_accepted(struct session *s)
{
	const struct smtp_mail *m = &s->tx.mail;

	if ((m->flags & SMTP_MAIL_PRIORITY) != 0 &&
		m->priority != s->tx.priority)
		smtpd_reply(
			s, 250, "2.3.6 %d is the new priority", s->tx.priority);
	else
		smtpd_reply(s, 250, "2.1.0 Ok");
}
