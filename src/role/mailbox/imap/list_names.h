/* SPDX-License-Identifier: ISC */
/* What LIST and LSUB choose from: the mailboxes of the account, those of others
 * that the session may know of, and names that are none. RFC 9051 6.3.9, 7.3.1
 * (\NonExistent) */
#ifndef POSTERN_ROLE_MAILBOX_IMAP_LIST_NAMES_H
#define POSTERN_ROLE_MAILBOX_IMAP_LIST_NAMES_H

#include "role/mailbox/imap/place.h"

/* By name, bytewise.  box.id 0: no mailbox, but the parent of something, or a
 * name that is subscribed. */
struct list_names {
	struct imap_place *v;
	size_t n;
};

/* subscribed: with the subscriptions whose mailbox is gone.  Lives until the
 * command ends.  False: the store's fault. */
bool list_names_read(struct imap *s, bool subscribed, struct list_names *l_r,
	struct fault *f);

/* Where the names below this one start, if there are any. */
size_t list_names_below(
	const struct list_names *l, struct str name, struct arena *a);
bool list_name_is_below(struct str name, struct str parent);
/* Is there a mailbox among them?  from: what list_names_below gave. */
bool list_names_has_mailbox(
	const struct list_names *l, size_t from, struct str name);

#endif
