/* SPDX-License-Identifier: ISC */
#ifndef STORE_COUNTED_H
#define STORE_COUNTED_H

/*
 * counted: rows that are counted by period and domain until the report about
 * them is made.  A power cut costs some counts: it is not flushed.  The file
 * has a limit, as strangers choose how many rows there are.
 * One thread at a time.
 */

#include "base/arena.h"
#include "base/fault.h"

struct counted;

/* $data_directory/reports/NAME.db */
struct counted *counted_open(
	const char *data_dir, const char *name, struct fault *f);
void counted_close(struct counted *c);

/* One more of this row; on disk with the next counted_commit.  record: what
 * the domain publishes, the last one is kept. */
bool counted_note(struct counted *c, int64_t period, struct str domain,
	struct str record, struct str row, struct fault *f);
bool counted_commit(struct counted *c, struct fault *f);

struct counted_due {
	int64_t period;
	struct str domain; /* absent: nothing is due */
	struct str record;
};
/* The next domain with something of a period before this one.  *due_r: the one
 * to go on behind; {0}: from the beginning. */
bool counted_find_due(struct counted *c, int64_t before, struct arena *a,
	struct counted_due *due_r, struct fault *f);
struct counted_row {
	struct str row;
	uint64_t n;
};
/* Its rows, the most frequent first, at most max; in the arena. */
bool counted_rows(struct counted *c, const struct counted_due *due,
	unsigned max, struct arena *a, struct counted_row **rows_r, size_t *n_r,
	struct fault *f);
bool counted_done(
	struct counted *c, const struct counted_due *due, struct fault *f);

#endif
