/* SPDX-License-Identifier: ISC */
#ifndef ROLE_MAILBOX_QUOTA_H
#define ROLE_MAILBOX_QUOTA_H

/*
 * quota: how much an account may hold (what imap_quota_admins set, else
 * mailbox_quota_maps, else mailbox_quota), and the mail that warns its owner
 * (mailbox_quota_warning); how much all of a domain may hold together
 * (mailbox_domain_quota_maps).
 *
 * The quota of an account holds in the transaction that would pass it.  That of
 * a domain, whose accounts stand in several shards, is counted each minute and
 * kept up with what comes in between.
 */

#include "role/mailbox/mailbox.h"

struct quotas;

/* Before the sandbox.  Lives as long as the role. */
struct quotas *quotas_new(struct role *r);
bool quotas_any(const struct quotas *q); /* may any account have one? */

/* The limits of an account, which is that of the address; false where the
 * tables or the store cannot be asked. */
bool quota_of(struct mailbox_role *m, int64_t account, struct str address,
	struct arena *a, struct store_quota *quota_r, struct fault *f);

/* Who may set the quota of others: imap_quota_admins. */
bool quota_any_admins(const struct quotas *q);
enum table_result quota_is_admin(const struct quotas *q, struct str login,
	struct arena *a, struct fault *f);
/* Instead of what tables say, from now on; on disk. */
bool quota_set(struct mailbox_role *m, int64_t account,
	const struct store_quota *quota, struct fault *f);

/* Is there room in the domain of the address for so much more?  False with
 * 552 5.2.2, or where it cannot be said. */
bool quota_domain_room(struct mailbox_role *m, struct str address,
	uint64_t bytes, uint64_t messages, struct arena *a, struct fault *f);
/* It came. */
void quota_domain_came(struct mailbox_role *m, struct str address,
	uint64_t bytes, uint64_t messages, struct arena *a);

/* Something came in: used is what all of the account holds now, added what
 * came. Puts a warning into its INBOX where a percentage was passed. */
void quota_warn(struct mailbox_role *m, int64_t account, struct str address,
	const struct store_quota *quota, const struct store_mailbox *used,
	uint64_t added_bytes, struct arena *a);

#endif
