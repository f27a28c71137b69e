/* SPDX-License-Identifier: ISC */
#ifndef CODEC_SASL_MECHANISMS_H
#define CODEC_SASL_MECHANISMS_H

/*
 * sasl_mechanisms: what a client may name after AUTH or AUTHENTICATE, the
 * strongest first.
 *
 * RFC 4616 (PLAIN), RFC 5802 and 7677 (SCRAM), RFC 4422 A (EXTERNAL),
 * RFC 7628 (OAUTHBEARER); LOGIN and XOAUTH2 are conventions of old clients
 * and of Google.
 */

#include "codec/sasl/sasl.h"

enum sasl_kind {
	SASL_SCRAM,
	SASL_EXTERNAL,
	SASL_OAUTHBEARER,
	SASL_XOAUTH2,
	SASL_PLAIN,
	SASL_LOGIN,
};

struct sasl_mechanism {
	const char *name;
	enum sasl_kind kind;
	enum scram_digest digest; /* of SASL_SCRAM */
	bool plus; /* bound to the TLS session */
	bool plaintext; /* who listens knows the secret */
};

enum { SASL_MECHANISMS = 9 };
extern const struct sasl_mechanism sasl_mechanisms[SASL_MECHANISMS];

/* By name, in any case; NULL: none of ours. */
const struct sasl_mechanism *sasl_mechanism_find(struct str name);

/* What decides whether a mechanism can be used in a session at all. */
struct sasl_session {
	bool tls;
	bool certificate; /* a trusted one of the client */
	bool tokens; /* somebody can tell us whose a token is */
};
bool sasl_possible(const struct sasl_mechanism *m, struct sasl_session s);

/* postconf(5) smtpd_sasl_mechanism_filter, smtp_sasl_mechanism_filter: "!name"
 * excludes, a bare name includes only what is named, anything else
 * ("static:rest") includes all. */
bool sasl_filter_allows(struct str filter, const char *name);

#endif
