/* SPDX-License-Identifier: ISC */
/* An aggregate report as a mail: RFC 9990 3, RFC 7489 7.2.1.1 */
#include "codec/mail/base64.h"
#include "codec/mail/date.h"
#include "policy/dmarc_rua.h"
#include "role/report/report.h"
#include "sys/clock.h"
#include "sys/gzip.h"

enum { XML_MAX = 128 << 20, MAIL_MAX = 48 << 20 };

static struct str yes_no(bool yes)
{
	return yes ? STR("y") : STR("n");
}

static void describe(struct report_role *r, const struct dmarc_due *due,
	const struct dmarc_record *record, struct dmarc_report *report,
	struct arena *a)
{
	const struct conf *c = r->role->conf;
	char id[ID_TEXT];

	id_text(id_new(), id);
	report->org_name = c->dmarc_report_organization;
	report->email = c->dmarc_report_address;
	report->begin = due->period * c->dmarc_report_interval;
	report->end = report->begin + c->dmarc_report_interval - 1;
	report->report_id = arena_printf(a, "%.*s.%lld.%s",
		STR_ARG(due->domain), (long long)report->begin, id);
	report->domain = due->domain;
	report->p = str_from(dmarc_policy_name(record->p));
	report->sp = str_from(dmarc_policy_name(record->sp));
	report->np = str_from(dmarc_policy_name(record->np));
	report->adkim = record->strict_dkim ? STR("s") : STR("r");
	report->aspf = record->strict_spf ? STR("s") : STR("r");
	report->testing = yes_no(record->testing);
}

static void put_mail(const struct report_role *r, const struct dmarc_report *d,
	const struct dmarc_rua *to, size_t n_to, struct str packed,
	struct buf *out)
{
	const struct conf *c = r->role->conf;
	int64_t now = clock_unix();
	char boundary[ID_TEXT];

	id_text(id_new(), boundary);
	buf_puts(out, "Date: ");
	mail_date_put(now, clock_zone_minutes(now), out);
	buf_putf(out,
		"\r\nFrom: %.*s\r\nTo: ", STR_ARG(c->dmarc_report_address));
	for (size_t i = 0; i < n_to; i++)
		buf_putf(out, "%s<%.*s>", i > 0 ? ",\r\n\t" : "",
			STR_ARG(to[i].address));
	buf_putf(out,
		"\r\nSubject: Report Domain: %.*s\r\n\tSubmitter: %.*s\r\n\t"
		"Report-ID: <%.*s>\r\nMessage-ID: <%.*s@%.*s>\r\n",
		STR_ARG(d->domain), STR_ARG(c->myhostname),
		STR_ARG(d->report_id), STR_ARG(d->report_id),
		STR_ARG(c->myhostname));
	buf_putf(out,
		"Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
		"Content-Type: multipart/mixed; boundary=\"=_%s\"\r\n\r\n"
		"--=_%s\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"
		"This is an aggregate report about the DMARC policy of "
		"%.*s.\r\n"
		"--=_%s\r\nContent-Type: application/gzip\r\n"
		"Content-Transfer-Encoding: base64\r\n"
		"Content-Disposition: attachment;\r\n\t"
		"filename=\"%.*s!%.*s!%lld!%lld.xml.gz\"\r\n\r\n",
		boundary, boundary, STR_ARG(d->domain), boundary,
		STR_ARG(c->myhostname), STR_ARG(d->domain), (long long)d->begin,
		(long long)d->end);
	base64_encode_lines(packed, out);
	buf_putf(out, "--=_%s--\r\n", boundary);
}

/* Who takes no more than so many bytes gets nothing that is larger. */
static size_t leave_out(struct dmarc_rua *to, size_t n, uint64_t size)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++)
		if (to[i].max_bytes == 0 || size <= to[i].max_bytes)
			to[kept++] = to[i];
	return kept;
}

bool report_aggregate(struct report_role *r, const struct dmarc_due *due,
	struct dmarc_report *report, struct arena *a, struct fault *f)
{
	struct buf xml CLEANUP(buf_fini), packed CLEANUP(buf_fini),
		mail CLEANUP(buf_fini);
	struct dmarc_rua to[DMARC_RUA_MAX];
	struct dmarc_record record;
	char id[ID_TEXT];
	uint64_t queued;
	bool later;

	buf_init(&xml, XML_MAX);
	buf_init(&packed, MAIL_MAX);
	buf_init(&mail, MAIL_MAX);
	if (!dmarc_record_parse(due->record, a, &record))
		return true;
	size_t n = dmarc_rua_allowed(
		r->role->resolver, due->domain, record.rua, a, to, &later);
	if (n == 0 && later)
		return fault_set(f, FAULT_TEMP, 451, 4, 3,
			"DNS failed for who may get the report");
	describe(r, due, &record, report, a);
	dmarc_report_put(report, &xml);
	if (buf_over(&xml) || !gzip_pack(buf_str(&xml), &packed))
		return fault_set(
			f, FAULT_TEMP, 451, 3, 0, "the report is too large");
	n = leave_out(to, n, packed.len);
	if (n == 0) {
		log_info("no report: nobody may get it",
			log_s("domain", due->domain), log_s("rua", record.rua));
		return true;
	}
	put_mail(r, report, to, n, buf_str(&packed), &mail);
	if (!report_send(r, to, n, buf_str(&mail), &queued, f))
		return false;
	id_text(queued, id);
	log_info("report", log_z("queue_id", id), log_s("domain", due->domain),
		log_s("to", to[0].address), log_n("rows", (int64_t)report->n));
	return true;
}
