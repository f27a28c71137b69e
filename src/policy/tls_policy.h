/* SPDX-License-Identifier: ISC */
#ifndef POLICY_TLS_POLICY_H
#define POLICY_TLS_POLICY_H

/*
 * tls_policy: how a next hop must be reached: smtp_tls_security_level and
 * smtp_tls_policy_maps.  TLS_README, postconf(5).
 *
 * Decides from tables only; what DNS says (DANE) is added by the caller.
 */

#include "policy/policy.h"

/* Ascending: from TLS_ENCRYPT on nothing goes in clear text. */
enum tls_level {
	TLS_NONE,
	TLS_MAY,
	TLS_ENCRYPT,
	TLS_FINGERPRINT,
	TLS_DANE, /* TLS_MAY where there is no TLSA record: RFC 7672 2.2 */
	TLS_DANE_ONLY,
	TLS_VERIFY,
	TLS_SECURE,
};

struct tls_policy {
	enum tls_level level;
	bool listed; /* by smtp_tls_policy_maps */
	struct str match; /* names, hostname, nexthop, dot-nexthop; or
			   * fingerprints */
	struct str protocols, ciphers; /* absent: as in main.cf */
	struct str exclude; /* ciphers, besides main.cf's */
	struct str servername; /* SNI; absent: the host's name */
};

const char *tls_level_name(enum tls_level level);
bool tls_level_parse(struct str word, enum tls_level *level_r);

/* One right-hand side of the table; false: *why_r says what is wrong. */
bool tls_policy_parse(struct str text, struct arena *a,
	struct tls_policy *policy_r, const char **why_r);

/* For the next hop as routed: "[host]:port", "domain".  c: of the transport.
 * False: a temporary fault, the table is to be mended. */
bool tls_policy_of(const struct policy *p, const struct conf *c,
	struct str nexthop, struct str domain, struct arena *a,
	struct tls_policy *policy_r, struct fault *f);

#endif
