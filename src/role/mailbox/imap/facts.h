/* SPDX-License-Identifier: ISC */
#ifndef ROLE_MAILBOX_IMAP_FACTS_H
#define ROLE_MAILBOX_IMAP_FACTS_H

/*
 * facts: what SORT and THREAD compare messages by, kept with the box for the
 * next time, by blob: the facts of a blob never change.  Bounded; what finds
 * no room is made for one command.
 */

#include "base/arena.h"
#include "role/mailbox/imap/box.h"
#include "role/mailbox/summary.h"

struct fact {
	int64_t sent; /* Unix seconds */
	bool dated;
	bool reply; /* of base_subject */
	/* folded */
	struct str subject, from, to, cc, display_from, display_to;
	struct str id; /* message id; empty: none */
	struct str references; /* the oldest first, blanks between */
};

struct facts;
struct facts *facts_new(void);
void facts_free(struct facts *t); /* NULL is fine */

/* With box->facts_lock held. */
const struct fact *facts_get(const struct facts *t, int64_t blob);
/* scratch: of the caller, for a moment; spare: where the fact lives when there
 * is no room for it. */
const struct fact *facts_make(struct facts *t, int64_t blob,
	const struct summary *sum, struct arena *scratch, struct arena *spare);

#endif
