/* SPDX-License-Identifier: ISC */
#ifndef ROLE_AUTH_VERIFIED_H
#define ROLE_AUTH_VERIFIED_H

/*
 * verified: passwords that were right a while ago, so that a client which comes
 * each minute does not cost a hash of 15 ms each time.
 *
 * What is kept is an HMAC of the stored hash and the password, by a key that
 * lives as long as the process: it is true of this hash only, so a changed
 * password or account acts at once.  A wrong password is always hashed.
 * Bounded: an account has one place, which it shares with others.
 * Thread-safe.
 */

#include "store/account.h"

struct verified;

/* keep_s 0: nothing is kept. */
struct verified *verified_new(int64_t keep_s);
bool verified_has(struct verified *v, const struct account *account,
	struct str password, int64_t now);
/* It was right: known until now + keep_s. */
void verified_put(struct verified *v, const struct account *account,
	struct str password, int64_t now);

#endif
