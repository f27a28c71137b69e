/* SPDX-License-Identifier: ISC */
#ifndef STORE_USAGE_H
#define STORE_USAGE_H

/*
 * usage: how much each account has sent today, and to whom it ever wrote:
 * $data_directory/accounts/usage.db.
 *
 * Not flushed: a power cut may forget the last minutes, which costs nobody
 * mail.  Opened by the auth role only.  One thread at a time per handle.
 */

#include "base/arena.h"
#include "base/fault.h"

struct usage;

struct usage *usage_open(const char *data_dir, struct fault *f);
void usage_close(struct usage *u);

/* Of one account and day (UTC); 0: no limit. */
struct usage_limits {
	int64_t messages, recipients;
	int64_t new_recipients; /* addresses it never wrote to before */
};

enum usage_over {
	USAGE_WITHIN,
	USAGE_MESSAGES,
	USAGE_RECIPIENTS,
	USAGE_NEW_RECIPIENTS
};

struct usage_result {
	enum usage_over over;
	int64_t count; /* of what is over, this message included */
	bool first; /* over for the first time today */
};

/* Counts one message in.  Over a limit its recipients are not learnt. */
bool usage_spend(struct usage *u, int64_t account, int64_t now,
	const struct strs *recipients, const struct usage_limits *limits,
	struct usage_result *result_r, struct fault *f);

#endif
