/* SPDX-License-Identifier: ISC */
#ifndef ROLE_MAILBOX_DOMAIN_QUOTA_H
#define ROLE_MAILBOX_DOMAIN_QUOTA_H

/* domains: what the accounts of each limited domain hold together.  For
 * quota.c.  Thread-safe. */

#include "role/mailbox/mailbox.h"

struct domains;

/* Before the sandbox. */
struct domains *domains_new(struct role *r);
/* quota_domain_room and quota_domain_came */
bool domains_room(struct domains *d, struct mailbox_role *m, struct str address,
	uint64_t bytes, uint64_t messages, struct arena *a, struct fault *f);
void domains_came(struct domains *d, struct str address, uint64_t bytes,
	uint64_t messages, struct arena *a);

#endif
