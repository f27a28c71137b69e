/* SPDX-License-Identifier: ISC */
#ifndef POLICY_DMARC_H
#define POLICY_DMARC_H

/*
 * dmarc: does what SPF and DKIM proved belong to the domain in From, and what
 * does that domain want done when it does not?  RFC 9989.
 *
 * Any thread; blocks while DNS is asked.
 */

#include "codec/mail/dmarc.h"
#include "policy/dkim.h"
#include "policy/spf.h"

enum dmarc_result {
	DMARC_NONE, /* no record, or nothing to look one up for */
	DMARC_PASS,
	DMARC_FAIL,
	DMARC_TEMPERROR,
	DMARC_PERMERROR, /* From cannot be read as the standard wants */
};
const char *dmarc_result_name(enum dmarc_result r);

struct dmarc_verdict {
	enum dmarc_result result;
	struct str from; /* the domain that was judged; absent without */
	struct str policy_domain; /* where the record is */
	enum dmarc_policy policy; /* that its owner publishes for this name */
	enum dmarc_policy disposition; /* what is to be done: t=y heeded */
	struct dmarc_record record; /* with policy_domain */
	bool spf_aligned, dkim_aligned; /* passed, and aligned */
	const char *why; /* NULL: result says all */
};

/* head: of the message.  The strictest verdict where From has several
 * domains, or where there are several From fields. */
struct dmarc_verdict dmarc_check(struct resolver *resolver, struct str head,
	const struct spf_verdict *spf, const struct dkim_verdict *dkim,
	size_t n_dkim, struct arena *a);

/* The organization of a domain: 4.10.2.  Absent: DNS failed. */
struct str dmarc_organization(
	struct resolver *resolver, struct str domain, struct arena *a);

#endif
