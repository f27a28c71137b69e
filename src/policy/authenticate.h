/* SPDX-License-Identifier: ISC */
#ifndef POLICY_AUTHENTICATE_H
#define POLICY_AUTHENTICATE_H

/*
 * authenticate: what can be proved about who sent a message: SPF of both
 * names, DKIM, what DMARC makes of them, and ARC.
 *
 * RFC 7208, RFC 6376, RFC 9989; told by RFC 8601 and RFC 7208 9.1
 *
 * Any thread; blocks while DNS is asked.
 */

#include "base/buf.h"
#include "policy/arc.h"
#include "policy/dmarc.h"

enum authenticate_what {
	AUTHENTICATE_SPF = 1u << 0,
	AUTHENTICATE_DKIM = 1u << 1,
	AUTHENTICATE_DMARC = 1u << 2,
	AUTHENTICATE_ARC = 1u << 3,
};

struct authenticate_query {
	struct resolver *resolver;
	unsigned what;
	const unsigned char *addr; /* of the client; NULL: no SPF */
	size_t addr_len;
	struct str client; /* the same as text */
	struct str helo;
	struct str sender; /* of MAIL; empty: the null sender */
	struct str receiver; /* our host name */
	int64_t now; /* Unix seconds */
	int64_t timeout_ms; /* for all of it: what is not known then is
			       TEMPERROR */
	struct str message;
};

struct authentication {
	unsigned what; /* was looked at */
	struct spf_verdict helo, mail; /* with the null sender they are one */
	struct dkim_verdict *dkim;
	size_t n_dkim;
	struct dmarc_verdict dmarc;
	struct arc_verdict arc;
};

/* Strings live in the arena, or in the query. */
struct authentication authenticate(
	const struct authenticate_query *q, struct arena *a);

/* Authentication-Results and Received-SPF, to stand in front of the message.
 * utf8: the message may hold it. */
void authentication_put_fields(const struct authentication *v,
	const struct authenticate_query *q, struct str authserv_id, bool utf8,
	struct buf *out);

/* One line: "spf=pass (example.com) dkim=fail (example.com: ...)", for the
 * log and for people. */
struct str authentication_text(const struct authentication *v, struct arena *a);

#endif
