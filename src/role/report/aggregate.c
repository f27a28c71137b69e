/* SPDX-License-Identifier: ISC */
/* An aggregate report about a DMARC policy: RFC 9990 3, RFC 7489 7.2.1.1 */
#include "policy/dmarc_rua.h"
#include "role/report/report.h"
#include "sys/clock.h"
#include "sys/gzip.h"

enum { XML_MAX = 128 << 20, PACKED_MAX = 32 << 20 };

static void describe(struct report_role *r, const struct counted_due *due,
	const struct dmarc_record *record, struct dmarc_report *report,
	struct arena *a)
{
	const struct conf *c = r->role->conf;
	char id[ID_TEXT];

	id_text(id_new(), id);
	report->org_name = c->dmarc_report_organization;
	report->email = c->dmarc_report_address;
	report->begin = due->period * report_interval(r);
	report->end = report->begin + report_interval(r) - 1;
	report->report_id = arena_printf(a, "%.*s.%lld.%s",
		STR_ARG(due->domain), (long long)report->begin, id);
	report->domain = due->domain;
	report->p = str_from(dmarc_policy_name(record->p));
	report->sp = str_from(dmarc_policy_name(record->sp));
	report->np = str_from(dmarc_policy_name(record->np));
	report->adkim = record->strict_dkim ? STR("s") : STR("r");
	report->aspf = record->strict_spf ? STR("s") : STR("r");
	report->testing = record->testing ? STR("y") : STR("n");
}

static void add_rows(struct dmarc_report *report,
	const struct counted_row *rows, size_t n, struct arena *a)
{
	for (size_t i = 0; i < n; i++) {
		struct wire w = {.rest = rows[i].row};
		struct dmarc_row row, *to;

		if (!dmarc_row_read(&w, &row) || !wire_ok(&w))
			continue; /* of another version */
		to = dmarc_report_add(report, a);
		if (to == NULL)
			return;
		*to = row;
		to->count = rows[i].n;
	}
}

bool report_aggregate(struct report_role *r, const struct counted_due *due,
	const struct counted_row *rows, size_t n, struct arena *a,
	struct fault *f)
{
	struct buf xml CLEANUP(buf_fini), packed CLEANUP(buf_fini);
	struct dmarc_report report = {0};
	struct dmarc_rua to[DMARC_RUA_MAX];
	struct dmarc_record record;
	bool later;

	buf_init(&xml, XML_MAX);
	buf_init(&packed, PACKED_MAX);
	if (!r->role->conf->dmarc_reports ||
		!dmarc_record_parse(due->record, a, &record))
		return true;
	size_t n_to = dmarc_rua_allowed(
		r->role->resolver, due->domain, record.rua, a, to, &later);
	if (n_to == 0 && later)
		return fault_set(f, FAULT_TEMP, 451, 4, 3,
			"DNS failed for who may get the report");
	add_rows(&report, rows, n, a);
	describe(r, due, &record, &report, a);
	dmarc_report_put(&report, &xml);
	if (buf_over(&xml) || !gzip_pack(buf_str(&xml), &packed))
		return fault_set(
			f, FAULT_TEMP, 451, 3, 0, "the report is too large");
	n_to = report_leave_out(to, n_to, packed.len);
	if (n_to == 0) {
		log_info("no report: nobody may get it",
			log_s("domain", due->domain), log_s("rua", record.rua));
		return true;
	}
	struct report_mail m = {.domain = due->domain,
		.id = report.report_id,
		.begin = report.begin,
		.end = report.end,
		.content_type = "multipart/mixed",
		.part_type = "application/gzip",
		.ending = "xml.gz",
		.words = "an aggregate report about the DMARC policy",
		.extra = STR("")};
	return report_send(r, &m, to, n_to, buf_str(&packed), f);
}
