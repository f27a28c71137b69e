/* SPDX-License-Identifier: ISC */
#ifndef POLICY_ARC_SEAL_H
#define POLICY_ARC_SEAL_H

/*
 * arc_seal: what we saw when a message came in, sealed for those whom we pass
 * it on to.  RFC 8617 5.1
 *
 * Pure; any thread.
 */

#include "codec/mail/arc.h"
#include "sys/signature.h"

struct arc_seal_request {
	struct str message; /* as it goes out */
	struct str
		authserv_id; /* of the Authentication-Results that are ours */
	struct str domain, selector; /* of the key */
	EVP_PKEY *key;
	const struct strs *headers; /* names that are signed where they stand */
	int64_t now; /* Unix seconds */
};

/* The three fields to put in front.  Empty: we saw nothing when it came, or
 * the chain takes no further seal; *why_r says which. */
struct str arc_seal(
	const struct arc_seal_request *q, struct arena *a, const char **why_r);

#endif
