/* SPDX-License-Identifier: ISC */
#ifndef POLICY_VERIFY_SENDER_H
#define POLICY_VERIFY_SENDER_H

#include "base/arena.h"
#include "conf/conf.h"

/*
 * The sender of address probes: address_verify_sender at $myorigin.  Where
 * address_verify_sender_ttl is set a code of the time stands behind its local
 * part, which changes so often: whoever collects addresses has one that is soon
 * nobody's.  Times in Unix seconds.
 */

/* "" for <>. */
struct str verify_sender(const struct conf *c, int64_t now, struct arena *a);

/* Is local@domain name@$myorigin, with the code of now or of the period before
 * where there is one?  Any case. */
bool verify_sender_is(const struct conf *c, struct str name, struct str local,
	struct str domain, int64_t now);

#endif
