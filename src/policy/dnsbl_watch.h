/* SPDX-License-Identifier: ISC */
#ifndef POLICY_DNSBL_WATCH_H
#define POLICY_DNSBL_WATCH_H

/*
 * dnsbl_watch: are the DNS lists in use still lists?
 *
 * RFC 5782 5: a list of addresses has 127.0.0.2 and has not 127.0.0.1; a list
 * of names has TEST and has not INVALID.  A list that was shut down often
 * answers everything, and then blocks all mail, or nothing, and then helps
 * nobody.  Each list is asked when it is first used and from time to time; one
 * that answers everything does not count until it is well again.
 *
 * One thread of its own; any thread may ask.
 */

#include "net/resolver.h"

struct dnsbl_watch;

/* What became known of a list, and again each day while it lasts.  well: it
 * has recovered. */
typedef void dnsbl_notice_f(
	struct str list, const char *text, bool well, void *ctx);

/* interval_s: between looks at a list.  Lives as long as the process. */
struct dnsbl_watch *dnsbl_watch_new(struct resolver *resolver,
	int64_t interval_s, dnsbl_notice_f *notice, void *ctx);
/* Notes that the list is in use; true: it answers everything.  NULL: false. */
bool dnsbl_watch_ignores(struct dnsbl_watch *w, struct str list);

#endif
