/* SPDX-License-Identifier: ISC */
/* What became of a message, for those who publish a DMARC policy and want to
 * know: told to the report role.  RFC 9990 */
#include "policy/authenticate.h"
#include "role/smtpd/smtpd.h"

enum { TELL_TIMEOUT_MS = 2000, NAME_MAX_LEN = 255, HEAD_MAX = 256 * 1024 };

/* Names of strangers, which may be of any length. */
static struct str name(struct str s)
{
	return str_sub(s, 0, NAME_MAX_LEN);
}

static struct str pass_fail(bool pass)
{
	return pass ? STR("pass") : STR("fail");
}

/* Why it was not done as the policy says. */
static struct str override(const struct session *s,
	const struct authentication *v, enum dmarc_policy done)
{
	const struct dmarc_verdict *d = &v->dmarc;

	if (d->result != DMARC_FAIL || done == d->policy)
		return STR_NONE;
	if (d->record.testing && done == d->disposition)
		return STR("policy_test_mode");
	return done == DMARC_NO_POLICY &&
			       arc_vouches(&v->arc,
				       s->sv->c->smtpd_arc_trusted_sealers)
		       ? STR("trusted_forwarder")
		       : STR("local_policy");
}

static void fill_row(const struct session *s, const struct authentication *v,
	enum dmarc_policy done, struct dmarc_row *row)
{
	const struct dmarc_verdict *d = &v->dmarc;
	struct str local, domain;

	smtp_address_split(s->tx.sender_said, &local, &domain);
	*row = (struct dmarc_row){.source_ip = s->client,
		.disposition = str_from(dmarc_policy_name(done)),
		.dkim = pass_fail(d->dkim_aligned),
		.spf = pass_fail(d->spf_aligned),
		.reason = override(s, v, done),
		.header_from = name(d->from),
		.envelope_from = str_present(domain) ? name(domain) : STR(""),
		.spf_auth = {.domain = name(v->mail.domain),
			.scope = s->tx.sender_said.len > 0 ? STR("mfrom")
							   : STR("helo"),
			.result = str_from(spf_result_name(v->mail.result))}};
	for (size_t i = 0; i < v->n_dkim; i++) {
		const struct dkim_verdict *k = &v->dkim[i];

		if (!str_present(k->signature.domain) ||
			row->n_dkims == DMARC_REPORT_AUTHS_MAX)
			continue;
		row->dkims[row->n_dkims++] = (struct dmarc_auth){
			.domain = name(k->signature.domain),
			.selector = name(k->signature.selector),
			.result = str_from(dkim_result_name(k->result))};
	}
}

static void tell(struct session *s, enum ipc_type type, const struct buf *b,
	struct str domain)
{
	struct ipc_frame reply CLEANUP(ipc_frame_fini);
	struct fault f;

	ipc_frame_init(&reply);
	/* What is lost does no harm: mail goes on. */
	if (!ipc_call(s->sv->role->report, type, buf_str(b), -1,
		    TELL_TIMEOUT_MS, &reply, &f))
		log_warn("not told for a report", log_s("domain", domain),
			log_fault(&f));
}

/* fo=0: nothing passed; fo=1: something did not. */
static bool wants_failure(const struct conf *c, const struct dmarc_verdict *d)
{
	return c->dmarc_failure_reports && str_present(d->record.ruf) &&
	       (d->result == DMARC_FAIL ||
		       (d->record.any &&
			       (!d->spf_aligned || !d->dkim_aligned)));
}

void smtpd_tell_dmarc(struct session *s, const struct authentication *v,
	enum dmarc_policy done, struct str results, struct str message)
{
	const struct dmarc_verdict *d = &v->dmarc;
	const struct conf *c = s->sv->c;
	struct buf b CLEANUP(buf_fini);
	struct dmarc_failed failed = {
		.seen = {.domain = d->policy_domain, .record = d->record.text},
		.results = results,
		.sender = name(s->tx.sender_said)};
	struct str body;

	buf_init(&b, HEAD_MAX + 65536);
	if (!str_present(d->policy_domain) ||
		(d->result != DMARC_PASS && d->result != DMARC_FAIL))
		return;
	fill_row(s, v, done, &failed.seen.row);
	if (c->dmarc_reports && str_present(d->record.rua)) {
		dmarc_seen_put(&b, &failed.seen);
		tell(s, IPC_DMARC_SEEN, &b, d->policy_domain);
	}
	if (!wants_failure(c, d))
		return;
	mail_split(message, &failed.head, &body);
	failed.head = str_sub(failed.head, 0, HEAD_MAX);
	buf_reset(&b);
	dmarc_failed_put(&b, &failed);
	tell(s, IPC_DMARC_FAILED, &b, d->policy_domain);
}
