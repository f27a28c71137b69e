/* SPDX-License-Identifier: ISC */
#ifndef ROLE_MAILBOX_LOCAL_FORWARD_H
#define ROLE_MAILBOX_LOCAL_FORWARD_H

/*
 * local_forward: the addresses that aliases and .forward files of local users
 * lead to.  They go into the queue as a mail of their own for each owner of a
 * list, to whom errors go; without an owner, to the sender.
 */

#include "role/mailbox/mailbox.h"

/* By owner, absent: none; in the arena. */
struct forwarded {
	struct str owner;
	struct strs addresses;
	struct forwarded *next;
};
void forward_add(struct forwarded **first, struct str owner, struct str address,
	struct arena *a);

/* On disk when it returns true.  When all else is done: what fails before is
 * tried again as a whole. */
bool forward_queue(const struct forwarded *first, struct mailbox_role *m,
	const struct envelope *e, const struct recipient *r, struct str message,
	struct arena *a, struct fault *f);

/* Was it delivered to the address before?  By Delivered-To: RFC 9228 */
bool forward_is_loop(struct str message, struct str address);

#endif
