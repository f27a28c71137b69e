/* SPDX-License-Identifier: ISC */
#ifndef CODEC_MAIL_DMARC_REPORT_H
#define CODEC_MAIL_DMARC_REPORT_H

/*
 * dmarc_report: the XML of an aggregate report.  RFC 9990 (and RFC 7489
 * appendix C, which most senders still write).
 *
 * Reading is by libexpat, lenient: what is missing stays absent.  Pure; all
 * in the arena.
 */

#include "base/arena.h"
#include "base/buf.h"

enum { DMARC_REPORT_ROWS_MAX = 100000, DMARC_REPORT_AUTHS_MAX = 12 };

struct dmarc_auth {
	struct str domain, selector, scope; /* of DKIM, of SPF */
	struct str result;
};
struct dmarc_row {
	struct str source_ip;
	uint64_t count;
	struct str disposition; /* none, quarantine, reject */
	struct str dkim, spf; /* pass or fail: with alignment */
	struct str reason, comment; /* of an override; absent without */
	struct str header_from, envelope_from;
	struct dmarc_auth dkims[DMARC_REPORT_AUTHS_MAX], spf_auth;
	size_t n_dkims;
};
struct dmarc_report {
	struct str org_name, email, report_id;
	int64_t begin, end; /* Unix seconds */
	struct str domain, p, sp, np, adkim, aspf, testing; /* as published */
	struct dmarc_row *v;
	size_t n, cap;
};

/* A zeroed row at the end; NULL beyond DMARC_REPORT_ROWS_MAX. */
struct dmarc_row *dmarc_report_add(struct dmarc_report *r, struct arena *a);
void dmarc_report_put(const struct dmarc_report *r, struct buf *out);
/* False with *why_r for what is no such report. */
bool dmarc_report_parse(struct str xml, struct arena *a,
	struct dmarc_report *r_r, struct str *why_r);

#endif
