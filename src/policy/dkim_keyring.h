/* SPDX-License-Identifier: ISC */
#ifndef POLICY_DKIM_KEYRING_H
#define POLICY_DKIM_KEYRING_H

/*
 * dkim_keyring: the keys of all domains, in memory as long as their files stay
 * as they are.  Any thread.
 */

#include "policy/dkim_keys.h"

enum { DKIM_PEN_KEYS = 4 };

struct dkim_keyring;
/* directory and resolver stay the caller's, and must stay. */
struct dkim_keyring *dkim_keyring_new(
	struct str directory, struct resolver *resolver);

/* What signs one message: references of its own; without .record. */
struct dkim_pen {
	struct dkim_key_file v[DKIM_PEN_KEYS];
	size_t n;
	bool waiting; /* there are new keys, but DNS does not show them */
};
void dkim_pen_put(struct dkim_pen *p);

/* New keys from when DNS shows all of them, until then those in use; asks DNS
 * about new ones now and then.  domain: lower case, no path.  *any_r: it has a
 * directory with keys.  False: they cannot be read. */
bool dkim_keyring_take(struct dkim_keyring *k, struct str domain,
	struct arena *a, struct dkim_pen *pen_r, bool *any_r, struct fault *f);
/* The same for the domain or, if not exact, the nearest above it that has
 * keys; *domain_r is absent where none has. */
bool dkim_keyring_find(struct dkim_keyring *k, struct str domain, bool exact,
	struct arena *a, struct str *domain_r, struct dkim_pen *pen_r,
	struct fault *f);

#endif
