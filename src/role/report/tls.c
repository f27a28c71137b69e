/* SPDX-License-Identifier: ISC */
/* A report about TLS with the servers of a domain: RFC 8460 4.4, 5 */
#include <jansson.h>
#include <stdlib.h>
#include <time.h>

#include "policy/dmarc_rua.h"
#include "role/report/report.h"
#include "sys/clock.h"
#include "sys/gzip.h"

enum { PACKED_MAX = 32 << 20 };

static json_t *text_json(struct str s)
{
	json_t *j = json_stringn(s.ptr != NULL ? s.ptr : "", s.len);

	return j != NULL ? j : json_string("?");
}

static void put_text(json_t *j, const char *key, struct str s)
{
	if (str_present(s) && s.len > 0)
		json_object_set_new(j, key, text_json(s));
}

static json_t *lines_json(struct str text)
{
	json_t *list = json_array();

	while (str_present(text) && text.len > 0)
		json_array_append_new(list, text_json(str_cut(&text, '\n')));
	return list;
}

static json_t *time_json(int64_t at)
{
	time_t t = (time_t)at;
	struct tm tm;
	char text[32];

	gmtime_r(&t, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	return json_string(text);
}

/* ---- policies ---- */

static bool same_policy(const struct tls_row *a, const struct tls_row *b)
{
	return str_eq(a->policy_type, b->policy_type) &&
	       str_eq(a->policy, b->policy);
}

static json_t *detail_json(const struct tls_row *row, uint64_t n)
{
	json_t *j = json_object();

	put_text(j, "result-type", row->result);
	put_text(j, "sending-mta-ip", row->sending_ip);
	put_text(j, "receiving-mx-hostname", row->mx);
	put_text(j, "receiving-ip", row->receiving_ip);
	json_object_set_new(
		j, "failed-session-count", json_integer((json_int_t)n));
	put_text(j, "failure-reason-code", row->reason);
	return j;
}

/* All rows of one policy. */
static json_t *policy_json(struct str domain, const struct tls_row *all,
	const struct counted_row *rows, size_t n, size_t first)
{
	json_t *j = json_object(), *policy = json_object(),
	       *summary = json_object(), *details = json_array();
	uint64_t good = 0, bad = 0;

	for (size_t i = first; i < n; i++) {
		if (!same_policy(&all[first], &all[i]))
			continue;
		if (!str_present(all[i].result)) {
			good += rows[i].n;
			continue;
		}
		bad += rows[i].n;
		json_array_append_new(details, detail_json(&all[i], rows[i].n));
	}
	put_text(policy, "policy-type", all[first].policy_type);
	json_object_set_new(
		policy, "policy-string", lines_json(all[first].policy));
	put_text(policy, "policy-domain", domain);
	if (str_present(all[first].patterns))
		json_object_set_new(
			policy, "mx-host", lines_json(all[first].patterns));
	json_object_set_new(summary, "total-successful-session-count",
		json_integer((json_int_t)good));
	json_object_set_new(summary, "total-failure-session-count",
		json_integer((json_int_t)bad));
	json_object_set_new(j, "policy", policy);
	json_object_set_new(j, "summary", summary);
	json_object_set_new(j, "failure-details", details);
	return j;
}

static json_t *policies_json(struct str domain, const struct counted_row *rows,
	size_t n, struct arena *a)
{
	struct tls_row *all = arena_alloc(a, (n + 1) * sizeof(*all));
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++) {
		struct wire w = {.rest = rows[i].row};

		if (!tls_row_read(&w, &all[i]))
			all[i] = (struct tls_row){0};
	}
	for (size_t i = 0; i < n; i++) {
		bool again = false;

		for (size_t k = 0; k < i && !again; k++)
			again = same_policy(&all[k], &all[i]);
		if (!again && str_present(all[i].policy_type))
			json_array_append_new(
				list, policy_json(domain, all, rows, n, i));
	}
	return list;
}

/* ---- the report ---- */

static json_t *report_json(struct report_role *r, const struct report_mail *m,
	const struct counted_row *rows, size_t n, struct arena *a)
{
	const struct conf *c = r->role->conf;
	json_t *j = json_object(), *range = json_object();

	put_text(j, "organization-name", c->dmarc_report_organization);
	json_object_set_new(range, "start-datetime", time_json(m->begin));
	json_object_set_new(range, "end-datetime", time_json(m->end));
	json_object_set_new(j, "date-range", range);
	put_text(j, "contact-info", c->dmarc_report_address);
	put_text(j, "report-id", m->id);
	json_object_set_new(
		j, "policies", policies_json(m->domain, rows, n, a));
	return j;
}

/* "v=TLSRPTv1; rua=mailto:..., https:..." */
static struct str rua_of(struct str record)
{
	while (str_present(record)) {
		struct str value = str_trim(str_cut(&record, ';'));
		struct str name = str_trim(str_cut(&value, '='));

		if (str_eqc(name, "rua"))
			return str_trim(value);
	}
	return STR("");
}

static struct report_mail mail_of(
	struct report_role *r, const struct counted_due *due, struct arena *a)
{
	const struct conf *c = r->role->conf;
	int64_t interval = report_interval(r);
	char id[ID_TEXT];

	id_text(id_new(), id);
	return (struct report_mail){.domain = due->domain,
		.id = arena_printf(a, "%s.%.*s", id, STR_ARG(due->domain)),
		.begin = due->period * interval,
		.end = due->period * interval + interval - 1,
		.content_type = "multipart/report; report-type=tlsrpt",
		.part_type = "application/tlsrpt+gzip",
		.ending = "json.gz",
		.words = "an aggregate report about TLS with the servers",
		.extra = arena_printf(a,
			"TLS-Report-Domain: %.*s\r\nTLS-Report-Submitter: "
			"%.*s\r\nTLS-Required: No\r\n",
			STR_ARG(due->domain), STR_ARG(c->myhostname))};
}

bool report_tls(struct report_role *r, const struct counted_due *due,
	const struct counted_row *rows, size_t n, struct arena *a,
	struct fault *f)
{
	struct buf packed CLEANUP(buf_fini);
	struct dmarc_rua to[DMARC_RUA_MAX];
	struct report_mail m = mail_of(r, due, a);
	size_t n_to = dmarc_rua_addresses(rua_of(due->record), a, to);

	buf_init(&packed, PACKED_MAX);
	if (!r->role->conf->tls_reports || n_to == 0)
		return true;
	json_t *j = report_json(r, &m, rows, n, a);
	char *text = json_dumps(j, JSON_INDENT(1));
	json_decref(j);
	bool ok = text != NULL && gzip_pack(str_from(text), &packed);
	free(text);
	if (!ok)
		return fault_set(
			f, FAULT_TEMP, 451, 3, 0, "the report is too large");
	return report_send(r, &m, to, n_to, buf_str(&packed), f);
}
