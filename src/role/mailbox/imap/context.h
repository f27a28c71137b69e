/* SPDX-License-Identifier: ISC */
#ifndef ROLE_MAILBOX_IMAP_CONTEXT_H
#define ROLE_MAILBOX_IMAP_CONTEXT_H

/*
 * context: results of SEARCH and SORT that are kept true while the mailbox
 * stays selected.  RFC 5267 4.3
 *
 * A context is its search as text and the UIDs that were found.  With the news,
 * what ended is taken out first (its number is good until the EXPUNGE), then
 * only what was changed or came since is held against the search; a sorted one
 * is sorted anew.
 */

#include "role/mailbox/imap/search.h"

struct imap_contexts; /* NULL: none */

/* UPDATE with a tag that has a context already: BAD, answered; false. */
bool context_may_begin(struct imap *s, const struct search_return *r);
/* Where UPDATE was asked for: keeps it, or says NOUPDATE.  text: of the
 * program, behind RETURN. */
void context_begin(struct imap *s, const struct search_return *r,
	const struct search_program *p, struct str text, bool sorted,
	const struct search_found *found);
/* The context of this tag ends, where there is one. */
void context_cancel(struct imap *s, struct str tag);
/* The mailbox is closed. */
void contexts_end(struct imap *s);

/* In front of EXPUNGE, and behind everything; newest: the highest UID that the
 * client knew before.  Where the store fails, a context ends with NOUPDATE. */
void contexts_remove_gone(struct imap *s);
void contexts_update(struct imap *s, uint32_t newest);

/* sort.c: text as SORT has it behind RETURN */
bool sort_again(struct imap *s, struct str text, struct search_found *found,
	struct fault *f);

#endif
