/* SPDX-License-Identifier: ISC */
#ifndef ROLE_MAILBOX_IMAP_FILTER_H
#define ROLE_MAILBOX_IMAP_FILTER_H

/* filter: which mailboxes are meant. RFC 5465 6; RFC 7377 2.2 (subtree-one) */

#include "role/mailbox/imap/imap.h"
#include "role/mailbox/imap/place.h"

enum filter_kind {
	FILTER_SELECTED,
	FILTER_SELECTED_DELAYED,
	FILTER_INBOXES, /* as personal: a script may deliver anywhere */
	FILTER_PERSONAL,
	FILTER_SUBSCRIBED,
	FILTER_SUBTREE,
	FILTER_SUBTREE_ONE, /* one level down */
	FILTER_MAILBOXES
};
struct imap_filter {
	enum filter_kind kind;
	struct strs names; /* in the arena of in */
};

bool imap_filter_parse(struct imap_in *in, struct imap_filter *f);
/* Not of the two kinds of selected.  account: whose the mailbox is. */
bool imap_filter_matches(const struct imap *s, const struct imap_filter *f,
	int64_t account, struct str name, bool subscribed);

#endif
