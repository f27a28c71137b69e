/* SPDX-License-Identifier: ISC */
#ifndef POLICY_ARC_H
#define POLICY_ARC_H

/*
 * arc: what those who passed a message on say they saw.  RFC 8617 5.2
 *
 * Any thread; blocks while DNS is asked.
 */

#include "codec/mail/arc.h"
#include "net/resolver.h"

enum arc_result { ARC_NONE, ARC_PASS, ARC_FAIL };
const char *arc_result_name(enum arc_result r);

struct arc_verdict {
	enum arc_result result;
	const char *why; /* of a fail */
	struct str domain; /* of the last seal; absent without */
	struct arc_chain chain;
};

/* message: as it came. */
struct arc_verdict arc_validate(struct resolver *resolver, struct str message,
	int64_t now, struct arena *a);

/* Did the first of them see DMARC pass, and are all of them trusted?
 * trusted: domains by blanks or commas. */
bool arc_vouches(const struct arc_verdict *v, struct str trusted);

#endif
