/* SPDX-License-Identifier: ISC */
#ifndef ROLE_REPORT_REPORT_H
#define ROLE_REPORT_REPORT_H

/*
 * report: counts what smtpd saw of domains that want to know, and sends them
 * a report for each period.  RFC 9990
 */

#include <pthread.h>

#include "base/map.h"
#include "role/role.h"
#include "store/dmarc_seen.h"

struct report_role {
	struct role *role;
	pthread_mutex_t lock; /* of the store */
	struct dmarc_store *store;
	struct failure_counts *failures; /* failure.c; with the lock */
};

/* aggregate.c: makes one report and puts it into the queue.  False: not now.
 * True also where nobody may have it: the counts are done with. */
bool report_aggregate(struct report_role *r, const struct dmarc_due *due,
	struct dmarc_report *report, struct arena *a, struct fault *f);

/* failure.c: about one message.  True also where nobody may have it. */
struct failure_counts *failure_counts_new(void);
bool report_failure(struct report_role *r, const struct dmarc_failed *d,
	struct arena *a, struct fault *f);

/* send.c */
struct dmarc_rua;
bool report_send(struct report_role *r, const struct dmarc_rua *to, size_t n_to,
	struct str mail, uint64_t *id_r, struct fault *f);

#endif
