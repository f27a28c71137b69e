/* SPDX-License-Identifier: ISC */
/* What became of a message, for those who publish a DMARC policy and want to
 * know: told to the report role.  RFC 9990 */
#include "policy/authenticate.h"
#include "role/smtpd/smtpd.h"

enum { TELL_TIMEOUT_MS = 2000, NAME_MAX_LEN = 255 };

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
	const struct dmarc_verdict *d, enum dmarc_policy done)
{
	if (d->result != DMARC_FAIL || done == d->policy)
		return STR_NONE;
	if (d->record.testing && done == d->disposition)
		return STR("policy_test_mode");
	return s->sv->c->smtpd_arc_trusted_sealers.len > 0
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
		.reason = override(s, d, done),
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

void smtpd_tell_dmarc(struct session *s, const struct authentication *v,
	enum dmarc_policy done)
{
	const struct dmarc_verdict *d = &v->dmarc;
	struct ipc_frame reply CLEANUP(ipc_frame_fini);
	struct buf b CLEANUP(buf_fini);
	struct dmarc_seen seen = {
		.domain = d->policy_domain, .record = d->record.text};
	struct fault f;

	ipc_frame_init(&reply);
	buf_init(&b, 65536);
	if (!s->sv->c->dmarc_reports || !str_present(d->policy_domain) ||
		!str_present(d->record.rua) ||
		(d->result != DMARC_PASS && d->result != DMARC_FAIL))
		return;
	fill_row(s, v, done, &seen.row);
	dmarc_seen_put(&b, &seen);
	/* A count that is lost does no harm: mail goes on. */
	if (!ipc_call(s->sv->role->report, IPC_DMARC_SEEN, buf_str(&b), -1,
		    TELL_TIMEOUT_MS, &reply, &f))
		log_warn("not counted for a report",
			log_s("domain", d->policy_domain), log_fault(&f));
}
