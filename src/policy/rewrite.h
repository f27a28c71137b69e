/* SPDX-License-Identifier: ISC */
#ifndef POLICY_REWRITE_H
#define POLICY_REWRITE_H

/*
 * rewrite: addresses as Postfix's trivial-rewrite, cleanup and smtp client
 * change them.  ADDRESS_REWRITING_README.
 *
 * Results live in the arena.  Functions that ask tables return false with a
 * temporary fault when a table fails.
 */

#include "base/buf.h"
#include "policy/policy.h"

/* Completes an address: site!user, user%dom, @$myorigin, .$mydomain */
struct str rewrite_trivial(
	const struct policy *p, struct str address, struct arena *a);

/* Envelope sender: canonical maps, then masquerading.  <> stays. */
bool rewrite_sender(const struct policy *p, struct str address, struct arena *a,
	struct str *out_r, struct fault *f);
/* Envelope recipient before aliases. */
bool rewrite_recipient(const struct policy *p, struct str address,
	struct arena *a, struct str *out_r, struct fault *f);
/* virtual_alias_maps, recursively; appends at least one address. */
bool rewrite_virtual(const struct policy *p, struct str address,
	struct arena *a, struct strs *out, struct fault *f);
/* smtp_generic_maps, one pass. */
bool rewrite_generic(const struct policy *p, struct str address,
	struct arena *a, struct str *out_r, struct fault *f);

/* One address of a header field. */
typedef bool rewrite_address_f(const struct policy *p, struct str address,
	bool is_sender, struct arena *a, struct str *out_r, struct fault *f);
bool rewrite_header_address(const struct policy *p, struct str address,
	bool is_sender, struct arena *a, struct str *out_r, struct fault *f);
/* remote_header_rewrite_domain: completes, and asks no table. */
bool rewrite_header_remote(const struct policy *p, struct str address,
	bool is_sender, struct arena *a, struct str *out_r, struct fault *f);
bool rewrite_header_generic(const struct policy *p, struct str address,
	bool is_sender, struct arena *a, struct str *out_r, struct fault *f);

/* Writes head with the addresses of From, To, ... passed through fn; what
 * fn leaves alone is copied byte for byte. */
bool rewrite_head(const struct policy *p, struct str head,
	rewrite_address_f *fn, struct arena *a, struct buf *out,
	struct fault *f);
/* Would it change anything at all? */
bool rewrite_head_wanted(const struct policy *p);

#endif
