/* SPDX-License-Identifier: ISC */
#ifndef POLICY_DKIM_SIGN_H
#define POLICY_DKIM_SIGN_H

/*
 * dkim_sign: puts our name under what our users write.
 *
 * RFC 6376 5, RFC 8301, RFC 8463.  The domain in From, or the nearest above it
 * that has keys, signs; with one key of each kind at once.  All fields of
 * dkim_oversign_headers are signed once more than they stand there, so that
 * none can be added (RFC 6376 8.15).
 *
 * Any thread; blocks while DNS is asked about keys that wait to be seen there.
 */

#include "conf/table.h"
#include "policy/dkim_keyring.h"

struct dkim_signer;
struct dkim_signer *dkim_signer_new(const struct conf *c, struct tables *tables,
	struct dkim_keyring *keyring, struct problems *problems);

struct dkim_request {
	struct str
		message; /* as it goes out: header fields end in CRLF or LF */
	struct str sender; /* of the envelope */
	struct str login; /* who submitted it; absent: nobody logged in */
	int64_t now; /* Unix seconds */
};
struct dkim_signed {
	struct str fields; /* to put in front of the message; may be empty */
	struct str domain; /* d=; absent: not signed */
	struct str selectors; /* "a,b" */
	struct str why_not; /* for the log: absent where nobody expects it */
};
/* False: there are keys, and they cannot be used. */
bool dkim_sign(struct dkim_signer *s, const struct dkim_request *q,
	struct arena *a, struct dkim_signed *signed_r, struct fault *f);

#endif
