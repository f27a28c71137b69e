/* SPDX-License-Identifier: ISC */
/* RCPT: RFC 5321 4.1.1.3; SMTPD_ACCESS_README for the order of the lists */
#include <string.h>

#include "policy/rewrite.h"
#include "role/smtpd/milters.h"

enum { ROOM_TIMEOUT_MS = 10000 };

static const enum restriction_stage before[] = {
	STAGE_CLIENT, STAGE_HELO, STAGE_SENDER};

/* True: refused and answered. */
static bool stage_refuses(
	struct session *s, struct check *c, enum restriction_stage stage)
{
	struct decision d = restrict_stage(c, stage);

	s->delay_ms += d.sleep_ms;
	if (d.verdict == VERDICT_PERMIT)
		return false;
	smtpd_refuse_decision(s, c, &d, "rcpt");
	return true;
}

static bool refused(struct session *s, struct check *c)
{
	const struct conf *conf = s->sv->c;
	bool relay_first = conf->smtpd_relay_before_recipient_restrictions;

	for (size_t i = 0; i < ARRAY_LEN(before) && conf->smtpd_delay_reject;
		i++)
		if (stage_refuses(s, c, before[i]))
			return true;
	if (stage_refuses(s, c, relay_first ? STAGE_RELAY : STAGE_RECIPIENT) ||
		stage_refuses(
			s, c, relay_first ? STAGE_RECIPIENT : STAGE_RELAY))
		return true;
	struct decision d = {.verdict = VERDICT_PERMIT};
	if (conf->smtpd_reject_unlisted_sender)
		d = restrict_unlisted_sender(c);
	if (d.verdict == VERDICT_PERMIT &&
		conf->smtpd_reject_unlisted_recipient &&
		!smtpd_overrides(s, "no_unknown_recipient_checks"))
		d = restrict_unlisted_recipient(c);
	if (d.verdict == VERDICT_PERMIT)
		return false;
	smtpd_refuse_decision(s, c, &d, "rcpt");
	return true;
}

/* Before the message is sent: a full mailbox costs nobody a bounce.  Where the
 * store cannot be asked, delivery will tell. */
static bool is_full(struct session *s, struct check *c, struct str address)
{
	const struct conf *conf = s->sv->c;
	struct ipc_frame reply CLEANUP(ipc_frame_fini);
	struct buf b CLEANUP(buf_fini);
	struct str local, domain;
	enum address_class class;
	struct fault f;

	ipc_frame_init(&reply);
	buf_init(&b, 4096);
	if (conf->mailbox_quota_maps.len == 0 &&
		conf->mailbox_domain_quota_maps.len == 0 &&
		str_eqc(conf->mailbox_quota, "0"))
		return false;
	smtp_address_split(address, &local, &domain);
	if (!policy_class(c->policy, domain, s->cmd_a, &class, &f) ||
		class != CLASS_VIRTUAL_MAILBOX)
		return false;
	wire_put_str(&b, address);
	wire_put_u64(&b, s->tx.mail.size);
	if (ipc_call(s->sv->role->mailbox, IPC_MAILBOX_ROOM, buf_str(&b), -1,
		    ROOM_TIMEOUT_MS, &reply, &f))
		return buf_str(&reply.payload).len == 1 &&
		       reply.payload.data[0] == 0;
	log_warn("quota", log_s("to", address), log_fault(&f));
	return false;
}

static bool have_rcpt(const struct session *s, struct str address)
{
	for (size_t i = 0; i < s->tx.n_rcpts; i++)
		if (str_eq(s->tx.rcpts[i].address, address))
			return true;
	return false;
}

void transaction_add_rcpt(struct session *s, struct recipient r)
{
	struct transaction *tx = &s->tx;

	if (have_rcpt(s, r.address))
		return;
	if (tx->n_rcpts == tx->cap_rcpts) {
		size_t cap = tx->cap_rcpts > 0 ? tx->cap_rcpts * 2 : 8;
		struct recipient *v = arena_alloc(s->tx_a, cap * sizeof(*v));

		if (tx->n_rcpts > 0)
			memcpy(v, tx->rcpts, tx->n_rcpts * sizeof(*v));
		tx->rcpts = v;
		tx->cap_rcpts = cap;
	}
	tx->rcpts[tx->n_rcpts++] = r;
}

void smtpd_rcpt(struct session *s, struct str args)
{
	const struct conf *c = s->sv->c;
	struct smtp_refusal why;
	struct smtp_rcpt rcpt;
	struct fault f;

	if (!s->tx.open) {
		smtpd_refuse(s, 503, "5.5.1 Error: need MAIL command");
		return;
	}
	if (s->tx.reception != NULL) {
		smtpd_refuse(s, 503, "5.5.1 Error: RCPT after BDAT");
		return;
	}
	if (smtpd_screen_refuses(s) || smtpd_rate_over(s, ANVIL_RECIPIENT))
		return;
	/* LMTP answers a duplicate after the data too: it counts. */
	size_t counted = s->sv->lmtp ? s->tx.accepted : s->tx.n_rcpts;

	if (counted >= (size_t)c->smtpd_recipient_limit) {
		/* RFC 5321 4.5.3.1.10: a client that sends the rest later is
		 * no bad client. */
		if (s->tx.overshoot++ <
			(unsigned)c->smtpd_recipient_overshoot_limit)
			smtpd_reply(s, 452, "4.5.3 Error: too many recipients");
		else
			smtpd_refuse(
				s, 452, "4.5.3 Error: too many recipients");
		return;
	}
	if (!smtp_rcpt_parse(args, (s->tx.mail.flags & SMTP_MAIL_UTF8) != 0,
		    smtpd_path_flags(s), s->cmd_a, &rcpt, &why)) {
		smtpd_refuse(s, why.code, "%s %s", why.enhanced, why.text);
		return;
	}
	smtpd_complete_path(s, &rcpt.to, s->cmd_a);
	if (smtpd_looks_like_option(s, rcpt.to.whole)) {
		smtpd_refuse(s, 501, "5.1.3 Bad recipient address syntax");
		return;
	}
	s->rcpt_said = rcpt.to.whole;
	struct recipient r = {.original = arena_str(s->tx_a, rcpt.to.whole),
		.orcpt = arena_str(s->tx_a, rcpt.orcpt),
		.notify = rcpt.notify};
	struct check check = smtpd_check(s, s->cmd_a);
	check.recipient =
		rewrite_trivial(s->sv->policy, rcpt.to.whole, s->cmd_a);
	if (refused(s, &check))
		return;
	s->tx.by_certificate |= check.by_certificate;
	if (smtpd_overrides(s, "no_address_mappings")) {
		r.address = rewrite_trivial(s->sv->policy, r.original, s->tx_a);
	} else if (!rewrite_recipient(s->sv->policy, r.original, s->tx_a,
			   &r.address, &f)) {
		smtpd_refuse_lookup(s, r.original, &f);
		return;
	}
	if (is_full(s, &check, r.address)) {
		smtpd_refuse(s, 552,
			"5.2.2 <%.*s>: Recipient address rejected:"
			" the mailbox is full",
			STR_ARG(r.original));
		return;
	}
	if (milters_rcpt(s, check.recipient))
		return;
	/* Only now is it sure: a refused recipient leaves nothing behind. */
	smtpd_keep_actions(s, &check);
	transaction_add_rcpt(s, r);
	s->tx.accepted++;
	smtpd_reply(s, 250, "2.1.5 Ok");
}
