/* SPDX-License-Identifier: ISC */
#ifndef ROLE_MAILBOX_INDEXER_H
#define ROLE_MAILBOX_INDEXER_H

/*
 * indexer: keeps the words of accounts (store/fts.h) behind their mail, by a
 * thread of its own, and lends them to searches.
 *
 * mailbox_search_index = auto: an account whose owner has searched for text in
 * a mailbox of SEARCHED_MIN messages; always: every account; no.
 */

#include "role/mailbox/mailbox.h"
#include "store/fts.h"

struct indexer;

struct indexer *indexer_new(struct store *store, const struct conf *c);
/* Something came into the account. */
void indexer_note(struct indexer *x, int64_t account);
/* Its owner searches for text among so many messages. */
void indexer_wanted(struct indexer *x, int64_t account, size_t messages);

/* The words of an account, for this thread until it is given back; NULL: there
 * is no index.  *marked_r: what of the mailbox is in. */
struct lent_index;
struct lent_index *indexer_lend(struct indexer *x, int64_t account,
	int64_t mailbox, struct fts **fts_r, uint32_t *marked_r);
/* broken: it gave a fault; it is made again. */
void indexer_return(struct indexer *x, struct lent_index *l, bool broken);

#endif
