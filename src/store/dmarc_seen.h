/* SPDX-License-Identifier: ISC */
#ifndef STORE_DMARC_SEEN_H
#define STORE_DMARC_SEEN_H

/*
 * dmarc_seen: what was seen of domains that want reports, counted by period
 * until the report is made.  A power cut costs some counts: it is not flushed.
 * One thread at a time.
 */

#include "ipc/messages.h"

struct dmarc_store;

struct dmarc_store *dmarc_store_open(const char *data_dir, struct fault *f);
void dmarc_store_close(struct dmarc_store *s);

/* Counts one message; on disk with the next dmarc_store_commit. */
bool dmarc_store_note(struct dmarc_store *s, int64_t period,
	const struct dmarc_seen *seen, struct fault *f);
bool dmarc_store_commit(struct dmarc_store *s, struct fault *f);

struct dmarc_due {
	int64_t period;
	struct str domain; /* absent: nothing is due */
	struct str record; /* of its policy, as it was seen last */
};
/* The next domain with something of a period before this one. */
bool dmarc_store_due(struct dmarc_store *s, int64_t before, struct arena *a,
	struct dmarc_due *due_r, struct fault *f);
/* Its rows with their counts, the most frequent first, at most max. */
bool dmarc_store_rows(struct dmarc_store *s, const struct dmarc_due *due,
	unsigned max, struct arena *a, struct dmarc_report *report,
	struct fault *f);
bool dmarc_store_done(
	struct dmarc_store *s, const struct dmarc_due *due, struct fault *f);

#endif
