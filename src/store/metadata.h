/* SPDX-License-Identifier: ISC */
#ifndef STORE_METADATA_H
#define STORE_METADATA_H

/* metadata: annotations of mailboxes and accounts.  RFC 5464 */

#include "store/store.h"

struct store_entry {
	struct str name; /* lower case */
	struct str value; /* absent: to be removed */
};
/* mailbox 0: of the account.  All of them, by name; views for the call. */
bool store_metadata(struct store *s, int64_t account, int64_t mailbox,
	void (*fn)(const struct store_entry *e, void *ctx), void *ctx,
	struct fault *f);
/* All or none; FAULT_PERM: too many. */
bool store_metadata_set(struct store *s, int64_t account, int64_t mailbox,
	const struct store_entry *v, size_t n, struct fault *f);

#endif
