/* SPDX-License-Identifier: ISC */
/*
 * A failure report: RFC 9991, in the form of RFC 5965 and RFC 6591.  Only the
 * header of the message goes out, and only so many a day about one domain.
 */
#include <stdlib.h>

#include "base/must.h"
#include "policy/dmarc_rua.h"
#include "role/report/report.h"
#include "sys/clock.h"

enum {
	MAIL_MAX = 4 << 20,
	HEAD_MAX = 256 * 1024,
	DAY_S = 86400,
	DOMAINS_MAX = 10000, /* of a day, in memory: about no more is told */
};

struct failure_counts {
	int64_t day;
	struct map *domains; /* to int64_t: reports of that day */
};

struct failure_counts *failure_counts_new(void)
{
	struct failure_counts *c = must_alloc(sizeof(*c));

	c->domains = map_new();
	return c;
}

/* One more about this domain?  A day that is over is forgotten. */
static bool count(struct report_role *r, struct str domain)
{
	struct failure_counts *c = r->failures;
	int64_t day = clock_unix() / DAY_S;

	if (c->day != day) {
		map_free(c->domains, free);
		c->domains = map_new();
		c->day = day;
	}
	int64_t *n = map_get(c->domains, domain);
	if (n == NULL && map_count(c->domains) >= DOMAINS_MAX)
		return false;
	if (n == NULL) {
		n = must_alloc(sizeof(*n));
		map_set(c->domains, domain, n);
	}
	return (*n)++ < r->role->conf->dmarc_failure_report_limit;
}

static void put_line(struct str text, struct buf *out)
{
	for (size_t i = 0; i < text.len && i < 900; i++) {
		unsigned char c = (unsigned char)text.ptr[i];

		buf_putc(out, c < 0x20 || c >= 0x7f ? '?' : (char)c);
	}
	buf_puts(out, "\r\n");
}

static void put_feedback(const struct report_role *r,
	const struct dmarc_failed *d, struct buf *out)
{
	const struct dmarc_row *row = &d->seen.row;
	bool spf = str_eqc(row->spf, "pass"), dkim = str_eqc(row->dkim, "pass");

	buf_puts(out, "Feedback-Type: auth-failure\r\nVersion: 1\r\n"
		      "User-Agent: postern/" POSTERN_VERSION "\r\n"
		      "Auth-Failure: dmarc\r\n");
	buf_putf(out, "Identity-Alignment: %s\r\n",
		spf && dkim ? "dkim, spf"
		: spf       ? "spf"
		: dkim      ? "dkim"
			    : "none");
	buf_puts(out, "Original-Mail-From: ");
	put_line(d->sender, out);
	buf_puts(out, "Source-IP: ");
	put_line(row->source_ip, out);
	buf_puts(out, "Reported-Domain: ");
	put_line(row->header_from, out);
	buf_putf(out, "Delivery-Result: %s\r\n",
		str_eqc(row->disposition, "reject")       ? "reject"
		: str_eqc(row->disposition, "quarantine") ? "spam"
							  : "delivered");
	buf_putf(out, "Reporting-MTA: dns; %.*s\r\n",
		STR_ARG(r->role->conf->myhostname));
	buf_puts(out, "Authentication-Results: ");
	buf_put(out, d->results);
	buf_puts(out, "\r\n");
}

static void put_mail(const struct report_role *r, const struct dmarc_failed *d,
	const struct dmarc_rua *to, size_t n, struct buf *out)
{
	const struct conf *c = r->role->conf;
	char id[ID_TEXT];

	id_text(id_new(), id);
	report_put_head(r, to, n, out);
	buf_putf(out,
		"Subject: DMARC failure report for %.*s\r\n"
		"Message-ID: <%s@%.*s>\r\nContent-Type: multipart/report;\r\n\t"
		"report-type=feedback-report; boundary=\"=_%s\"\r\n\r\n"
		"--=_%s\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"
		"A message came here whose author could not be proved to be of "
		"%.*s.\r\n--=_%s\r\nContent-Type: message/feedback-report"
		"\r\n\r\n",
		STR_ARG(d->seen.domain), id, STR_ARG(c->myhostname), id, id,
		STR_ARG(d->seen.domain), id);
	put_feedback(r, d, out);
	buf_putf(
		out, "--=_%s\r\nContent-Type: text/rfc822-headers\r\n\r\n", id);
	buf_put(out, str_sub(d->head, 0, HEAD_MAX));
	buf_putf(out, "\r\n--=_%s--\r\n", id);
}

bool report_failure(struct report_role *r, const struct dmarc_failed *d,
	struct arena *a, struct fault *f)
{
	struct buf mail CLEANUP(buf_fini);
	struct dmarc_rua to[DMARC_RUA_MAX];
	struct dmarc_record record;
	char id[ID_TEXT];
	uint64_t queued;
	bool later;

	buf_init(&mail, MAIL_MAX);
	if (!dmarc_record_parse(d->seen.record, a, &record))
		return true;
	size_t n = dmarc_rua_allowed(
		r->role->resolver, d->seen.domain, record.ruf, a, to, &later);
	if (n == 0)
		return true;
	pthread_mutex_lock(&r->lock);
	bool wanted = count(r, d->seen.domain);
	pthread_mutex_unlock(&r->lock);
	if (!wanted)
		return true;
	put_mail(r, d, to, n, &mail);
	if (!report_put(r, to, n, buf_str(&mail), &queued, f))
		return false;
	id_text(queued, id);
	log_info("failure report", log_z("queue_id", id),
		log_s("domain", d->seen.domain), log_s("to", to[0].address));
	return true;
}
