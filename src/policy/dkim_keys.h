/* SPDX-License-Identifier: ISC */
#ifndef POLICY_DKIM_KEYS_H
#define POLICY_DKIM_KEYS_H

/*
 * dkim_keys: the private keys that lie in $dkim_key_directory/DOMAIN.
 *
 * SELECTOR.new  waits to be seen in DNS: then it is used
 * SELECTOR.key  is in use
 * SELECTOR.old  signs nothing any more; its record stays until mail that it
 *               signed has arrived
 *
 * A step of rotation is one rename: it is done or not.  Any thread.
 */

#include "base/arena.h"
#include "net/resolver.h"
#include "sys/signature.h"

enum dkim_key_state { DKIM_KEY_NEW, DKIM_KEY_USED, DKIM_KEY_OLD };
const char *dkim_key_state_name(enum dkim_key_state s);

struct dkim_key_file {
	struct str selector;
	enum dkim_key_state state;
	int64_t since; /* of the state, Unix seconds */
	EVP_PKEY *key;
	struct str record; /* what DNS must have: "v=DKIM1; ..." */
};
struct dkim_keys {
	struct dkim_key_file *v; /* by selector */
	size_t n;
};

/* n == 0 with true: the domain has none.  The list lives in the arena, the
 * keys until dkim_keys_free. */
bool dkim_keys_load(struct str directory, struct str domain, struct arena *a,
	struct dkim_keys *keys_r, struct fault *f);
void dkim_keys_free(struct dkim_keys *keys);

/* "selector._domainkey.domain" */
struct str dkim_key_name(
	struct str selector, struct str domain, struct arena *a);

/* DNS_OK: it has this key.  NONE: another one, or nothing; TEMP: not known. */
enum dns_result dkim_key_published(struct resolver *r, struct str domain,
	const struct dkim_key_file *key, struct arena *a);

/* A fresh pair in state NEW; the directory is made. */
bool dkim_key_make(struct str directory, struct str domain, struct str selector,
	bool ed25519, unsigned bits, struct fault *f);
bool dkim_key_move(struct str directory, struct str domain,
	const struct dkim_key_file *key, enum dkim_key_state to,
	struct fault *f);
bool dkim_key_remove(struct str directory, struct str domain,
	const struct dkim_key_file *key, struct fault *f);

#endif
