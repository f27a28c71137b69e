/* SPDX-License-Identifier: ISC */
/*
 * ETRN: RFC 1985.  A server that was away asks for the mail that waits for
 * it.  On offer only where smtpd_etrn_restrictions say who may ask.
 */
#include "codec/smtp/path.h"
#include "ipc/messages.h"
#include "role/smtpd/smtpd.h"

enum { FLUSH_TIMEOUT_MS = 30000 };

bool smtpd_etrn_offered(const struct session *s)
{
	return str_trim(s->sv->c->smtpd_etrn_restrictions).len > 0 &&
	       !s->sv->lmtp;
}

/* RFC 1985 5.3: "@" in front stands for the subdomains too. */
static bool flush(struct session *s, struct str site, uint64_t *n_r)
{
	struct ipc_frame reply CLEANUP(ipc_frame_fini);
	struct buf b CLEANUP(buf_fini);
	struct fault f;

	ipc_frame_init(&reply);
	buf_init(&b, 1024);
	wire_put_str(&b, site);
	if (!ipc_call(s->sv->role->queue, IPC_QUEUE_FLUSH_SITE, buf_str(&b), -1,
		    FLUSH_TIMEOUT_MS, &reply, &f)) {
		log_warn("etrn", log_s("client", s->client),
			log_s("site", site), log_fault(&f));
		return false;
	}
	struct wire w = {.rest = buf_str(&reply.payload)};
	*n_r = wire_u64(&w);
	return wire_ok(&w);
}

/* True: answered. */
static bool refuses(struct session *s, struct str domain)
{
	struct check check = smtpd_check(s, s->cmd_a);
	struct fault f;

	check.etrn_domain = domain;
	struct decision d = restrict_stage(&check, STAGE_ETRN);
	s->delay_ms += d.sleep_ms;
	if (d.verdict == VERDICT_REJECT) {
		smtpd_refuse_decision(s, &check, &d, "etrn");
		return true;
	}
	switch (match_name(
		s->sv->policy->fast_flush_domains, domain, s->cmd_a, &f)) {
	case TABLE_FOUND:
		return false;
	case TABLE_ERROR:
		smtpd_refuse_lookup(s, domain, &f);
		return true;
	case TABLE_NONE:
		break;
	}
	smtpd_refuse(s, 459, "4.7.1 <%.*s>: no mail is kept for this node",
		STR_ARG(domain));
	return true;
}

void smtpd_etrn(struct session *s, struct str args)
{
	struct str site = args;
	uint64_t n = 0;

	if (!smtpd_etrn_offered(s)) {
		smtpd_refuse(s, 502, "5.5.1 ETRN is not offered");
		return;
	}
	if (!str_present(s->helo)) {
		smtpd_refuse(s, 503, "5.5.1 Error: send HELO/EHLO first");
		return;
	}
	if (s->tx.open) {
		smtpd_refuse(
			s, 503, "5.5.1 Error: MAIL transaction in progress");
		return;
	}
	if (str_starts(site, "@"))
		site = str_from_at(site, 1);
	if (!smtp_domain_valid(site, false)) {
		smtpd_refuse(s, 501, "5.5.4 Syntax: ETRN domain");
		return;
	}
	if (refuses(s, site))
		return;
	if (!flush(s, args, &n)) {
		smtpd_refuse(s, 458, "4.3.0 Unable to queue messages for %.*s",
			STR_ARG(site));
		return;
	}
	log_info("etrn", log_s("client", s->client), log_s("site", args),
		log_n("messages", (int64_t)n));
	if (n == 0)
		smtpd_reply(s, 251, "2.0.0 No messages waiting for %.*s",
			STR_ARG(site));
	else
		smtpd_reply(s, 250, "2.0.0 Queuing for %.*s started",
			STR_ARG(site));
}
