/* SPDX-License-Identifier: ISC */
#ifndef POLICY_SPF_H
#define POLICY_SPF_H

/*
 * spf: may this address send in the name of that domain?  check_host() of
 * RFC 7208 4, with the limits of 4.6.4.
 *
 * Any thread; blocks while DNS is asked.
 */

#include "codec/mail/spf.h"
#include "net/resolver.h"

struct spf_query {
	struct resolver *resolver;
	const unsigned char *addr; /* of the client */
	size_t addr_len;
	struct str helo; /* said by the client */
	struct str sender; /* MAIL FROM; empty: postmaster of the HELO name */
	struct str receiver; /* our host name */
	int64_t now; /* Unix seconds */
};

struct spf_verdict {
	enum spf_result result;
	struct str domain; /* that was asked about */
	struct str mechanism; /* that decided; absent: none did */
	struct str why; /* of an error, absent else */
	struct str explanation; /* of a fail, by the domain; absent without */
	unsigned lookups; /* terms that asked DNS */
};

/* Strings live in the arena, or in the query. */
struct spf_verdict spf_check(const struct spf_query *q, struct arena *a);

#endif
