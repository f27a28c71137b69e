/* SPDX-License-Identifier: ISC */
#ifndef ROLE_REPORT_REPORT_H
#define ROLE_REPORT_REPORT_H

/*
 * report: counts what smtpd and sender saw of domains that want to know, and
 * sends them a report for each period.  RFC 9990, RFC 9991, RFC 8460
 */

#include <pthread.h>

#include "base/map.h"
#include "ipc/messages.h"
#include "role/role.h"
#include "store/counted.h"

struct report_role;

/* A kind of report: where it is counted, and how it is made.  False: not now.
 * True also where nobody may have it: the counts are done with. */
struct report_kind {
	const char *name; /* of the file */
	bool (*make)(struct report_role *r, const struct counted_due *due,
		const struct counted_row *rows, size_t n, struct arena *a,
		struct fault *f);
};
enum { REPORT_DMARC, REPORT_TLS, REPORT_KINDS };

struct report_role {
	struct role *role;
	pthread_mutex_t lock; /* of the counts */
	struct counted *counts[REPORT_KINDS];
	struct failure_counts *failures; /* failure.c; with the lock */
};

/* Seconds of a period; at least 1. */
int64_t report_interval(const struct report_role *r);

/* aggregate.c, tls.c */
bool report_aggregate(struct report_role *r, const struct counted_due *due,
	const struct counted_row *rows, size_t n, struct arena *a,
	struct fault *f);
bool report_tls(struct report_role *r, const struct counted_due *due,
	const struct counted_row *rows, size_t n, struct arena *a,
	struct fault *f);

/* failure.c: about one message.  True also where nobody may have it. */
struct failure_counts *failure_counts_new(void);
bool report_failure(struct report_role *r, const struct dmarc_failed *d,
	struct arena *a, struct fault *f);

/* send.c */

struct dmarc_rua;

/* What both kinds have: the mail up to the attachment's own lines. */
struct report_mail {
	struct str domain, id;
	int64_t begin, end; /* Unix seconds */
	const char *content_type; /* of the whole, without boundary */
	const char *part_type; /* of the attachment */
	const char *ending; /* of its name: "xml.gz" */
	const char *words; /* "an aggregate report about ..." */
	struct str extra; /* header lines */
};
bool report_send(struct report_role *r, const struct report_mail *m,
	const struct dmarc_rua *to, size_t n_to, struct str packed,
	struct fault *f);
/* The fields that each report begins with, From, To and Date among them. */
void report_put_head(const struct report_role *r, const struct dmarc_rua *to,
	size_t n, struct buf *out);
/* A finished mail. */
bool report_put(struct report_role *r, const struct dmarc_rua *to, size_t n_to,
	struct str mail, uint64_t *id_r, struct fault *f);
/* Who takes no more than so many bytes gets nothing that is larger. */
size_t report_leave_out(struct dmarc_rua *to, size_t n, uint64_t size);

#endif
