/* SPDX-License-Identifier: ISC */
#ifndef POLICY_DMARC_RUA_H
#define POLICY_DMARC_RUA_H

/*
 * dmarc_rua: who may be sent the reports about a domain.  RFC 9990 4: an
 * address of another organization has to say that it wants them, or anybody
 * could have anybody flooded.
 *
 * Any thread; blocks while DNS is asked.
 */

#include "codec/mail/dmarc.h"
#include "net/resolver.h"

enum { DMARC_RUA_MAX = 5 };

/* Those that are mail addresses; their number. */
size_t dmarc_rua_addresses(
	struct str rua, struct arena *a, struct dmarc_rua *v);

/* The addresses that may get it; their number.  *later_r: DNS failed for
 * some, which are left out. */
size_t dmarc_rua_allowed(struct resolver *resolver, struct str domain,
	struct str rua, struct arena *a, struct dmarc_rua *v, bool *later_r);

#endif
