/* SPDX-License-Identifier: ISC */
#ifndef ROLE_SENDER_AUTH_CACHE_H
#define ROLE_SENDER_AUTH_CACHE_H

/*
 * auth_cache: passwords that other servers have refused, so that they are not
 * asked again and again until they lock us out.  postconf(5)
 * smtp_sasl_auth_cache_name.  In memory, hashes of the passwords only; any
 * thread.
 */

#include "base/arena.h"
#include "base/fault.h"

struct auth_cache;
struct auth_cache *auth_cache_new(void);

struct auth_attempt {
	struct str host, user, password;
};
/* Was the same refused in the last seconds?  Then the fault is what was said.
 */
bool auth_cache_refused(struct auth_cache *c, const struct auth_attempt *x,
	int64_t seconds, struct fault *f);
void auth_cache_note(struct auth_cache *c, const struct auth_attempt *x,
	const struct fault *f);

#endif
