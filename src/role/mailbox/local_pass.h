/* SPDX-License-Identifier: ISC */
#ifndef ROLE_MAILBOX_LOCAL_PASS_H
#define ROLE_MAILBOX_LOCAL_PASS_H

/*
 * local_pass: mail of local users that somebody else delivers.  local(8):
 * mailbox_transport_maps, mailbox_transport; for users without an account
 * fallback_transport_maps, fallback_transport, luser_relay.
 */

#include "role/mailbox/mailbox.h"

/* Which transport gets the mail of a user; absent: none does.  unknown: he has
 * no account.  False: a table cannot be asked. */
bool local_transport(struct mailbox_role *m, struct str user, bool unknown,
	struct arena *a, struct str *spec_r, struct fault *f);
/* luser_relay for a recipient, filled in; absent without. */
bool local_luser(struct mailbox_role *m, struct str recipient, struct arena *a,
	struct str *address_r, struct fault *f);

/* Who is meant by a user, as an address: the recipient, or whom an alias made
 * of him. */
struct str passed_address(struct mailbox_role *m, const struct recipient *r,
	struct str user, struct arena *a);
/* Mail to be handed on, by transport; in the arena. */
struct passed {
	struct str spec;
	struct recipient *rcpts;
	size_t n, cap;
	struct passed *next;
};
void passed_add(struct passed **first, struct str spec,
	const struct recipient *rcpt, struct arena *a);
/* A message for each transport.  When all else is done: what fails before is
 * tried again as a whole. */
bool passed_queue(const struct passed *first, struct mailbox_role *m,
	const struct envelope *e, struct str message, struct fault *f);

#endif
