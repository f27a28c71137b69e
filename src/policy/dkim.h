/* SPDX-License-Identifier: ISC */
#ifndef POLICY_DKIM_H
#define POLICY_DKIM_H

/*
 * dkim: who vouches for a message: RFC 6376 6, 8301, 8463.
 *
 * Any thread; blocks while DNS is asked.
 */

#include "codec/mail/dkim.h"
#include "net/resolver.h"

/* RFC 8601 2.7.1 */
enum dkim_result {
	DKIM_NONE,
	DKIM_PASS,
	DKIM_FAIL,
	DKIM_POLICY, /* good, but not as we want it */
	DKIM_NEUTRAL, /* cannot be read */
	DKIM_TEMPERROR,
	DKIM_PERMERROR,
};
const char *dkim_result_name(enum dkim_result r);

struct dkim_verdict {
	enum dkim_result result;
	struct dkim_signature signature; /* what could be read of it */
	const char *why; /* NULL with a pass */
	bool testing; /* t=y in the key */
};

enum { DKIM_SIGNATURES_MAX = 10 }; /* of one message that are looked at */

/* One for each DKIM-Signature, from the top.  message: as it came. */
struct dkim_verdict *dkim_verify(struct resolver *resolver, struct str message,
	int64_t now, struct arena *a, size_t *n_r);

/* A message at work: what its signatures have in common. */
struct dkim_message {
	struct resolver *resolver;
	struct arena *a;
	int64_t now; /* Unix seconds */
	struct str head, body;
	struct str body_sums[2]; /* by canonical form, of all of it; absent:
				    not needed yet */
};
struct dkim_message dkim_message_begin(struct resolver *resolver,
	struct str message, int64_t now, struct arena *a);

/* The checks that ARC has too: time, body hash, key, signature.  own: the
 * field that v->signature was read from. */
void dkim_check(struct dkim_message *m, const struct mail_field *own,
	struct dkim_verdict *v);
/* Key and signature over a text; false: *v says what is wrong. */
bool dkim_check_text(struct resolver *resolver, struct str text,
	struct arena *a, struct dkim_verdict *v);

#endif
