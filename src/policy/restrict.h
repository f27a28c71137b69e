/* SPDX-License-Identifier: ISC */
#ifndef POLICY_RESTRICT_H
#define POLICY_RESTRICT_H

/*
 * restrict: smtpd_*_restrictions.  SMTPD_ACCESS_README.
 *
 * A list is parsed once; an unknown name is a problem found before start.
 * The first restriction that rejects ends it all, a permit ends its list.
 */

#include "policy/policy.h"

enum restriction_stage {
	STAGE_CLIENT,
	STAGE_HELO,
	STAGE_SENDER,
	STAGE_RELAY,
	STAGE_RECIPIENT,
	STAGE_DATA,
	STAGE_END_OF_DATA,
	STAGE_ETRN,
	STAGES,
};

/* What is known about the session; absent where not (yet) known. */
struct check {
	const struct policy *policy;
	struct arena *a;
	unsigned char client_addr[16];
	size_t client_addr_len; /* 0: not from the Internet */
	struct str client_text; /* "192.0.2.1" */
	struct str client_name; /* verified; "unknown" without */
	struct str reverse_name; /* PTR, unverified; "unknown" without */
	bool client_temp; /* the look-ups failed for a moment */
	struct str helo; /* absent before HELO */
	struct str sender; /* "" for <>; absent before MAIL */
	struct str recipient; /* absent before RCPT */
	struct str login; /* absent without AUTH */
	struct str etrn_domain; /* absent but at ETRN */
	size_t recipients; /* accepted so far, at DATA */
	bool tls;
	bool pipelined; /* talked before its turn */

	/* for policy services only */
	const char *state; /* CONNECT, EHLO, MAIL, ..., END-OF-MESSAGE */
	const char *protocol; /* SMTP, ESMTP, LMTP */
	struct str instance; /* one for each mail */
	struct str sasl_method;
	uint64_t size; /* said at MAIL, counted at the end */
	unsigned client_port, server_port;
	struct str server_text;
	const char *tls_version, *tls_cipher; /* "" without */
	int tls_bits;
	bool ccert_trusted;
	struct str ccert_subject, ccert_issuer, ccert_fingerprint,
		ccert_pubkey_fingerprint; /* absent without a certificate */

	/* results of the evaluation */
	struct str rule; /* the restriction that decided */
	bool by_certificate; /* a certificate of the client's let it in */
	const char *param; /* the list that it stands in */
	struct str defer_if_permit; /* reply kept until a permit; absent */
	struct str defer_if_reject;
	struct str redirect; /* REDIRECT of an access map */
	struct str filter; /* FILTER of an access map */
	struct strs prepend; /* PREPEND lines */
	bool hold;
	bool discard;
	struct strs warnings; /* WARN, warn_if_reject: for the log */
	struct strs permits; /* smtpd_log_access_permit_actions: the same */
};

enum verdict { VERDICT_PERMIT, VERDICT_REJECT };

struct decision {
	enum verdict verdict;
	int code; /* with VERDICT_REJECT */
	struct str text; /* "5.7.1 <x>: Relay access denied" */
	int64_t sleep_ms; /* restriction "sleep n" */
};

/* "1.2.0.192" of 192.0.2.1, for a list's zone behind it: RFC 5782 2.1 */
struct str dnsbl_address(
	const unsigned char *addr, size_t len, struct arena *a);
/*
 * RFC 5782: does the list of spec, "zone" or "zone=127.0.0.[2..11]", know the
 * query?  *name_r: what was looked up.  A silent list knows nobody.
 */
bool dnsbl_listed(const struct policy *p, struct str spec, struct str query,
	struct arena *a, struct str *name_r);

struct restrictions;
struct restrictions *restrictions_new(
	struct policy *p, struct problems *problems);

/* Evaluates one list. */
struct decision restrict_stage(struct check *c, enum restriction_stage stage);
/* reject_unlisted_recipient as it acts behind the lists. */
struct decision restrict_unlisted_recipient(struct check *c);
struct decision restrict_unlisted_sender(struct check *c);
/* reject_sender_login_mismatch as it acts on submission. */
struct decision restrict_sender_login(struct check *c);

/* Whether strangers could relay: no list has a destination check before a
 * permit.  For `postern check`. */
bool restrictions_relay_open(const struct policy *p);

#endif
