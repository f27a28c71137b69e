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

/* What is folded, for comparing */
enum fact_text {
	TEXT_SUBJECT, /* the base subject, RFC 5256 2.1 */
	TEXT_FROM,
	TEXT_TO,
	TEXT_CC,
	TEXT_DISPLAYFROM,
	TEXT_DISPLAYTO,
	FACT_TEXTS
};

struct fact {
	int64_t sent; /* Unix seconds */
	bool dated;
	bool reply; /* of base_subject */
	bool kept; /* in the table */
	struct str text[FACT_TEXTS];
	uint32_t rank[FACT_TEXTS]; /* facts_rank */
	/* Of message ids: hashes with a key of the table. */
	uint64_t id; /* 0: none */
	uint64_t *references; /* the oldest first */
	size_t n_references;
};

struct facts;
struct facts *facts_new(void);
void facts_free(struct facts *t); /* NULL is fine */

/* With box->facts_lock held. */
struct fact *facts_get(const struct facts *t, int64_t blob);
/* scratch: of the caller, for a moment; spare: where the fact lives when there
 * is no room for it. */
struct fact *facts_make(struct facts *t, int64_t blob,
	const struct summary *sum, struct arena *scratch, struct arena *spare);
/* Makes the ranks of these stand as their texts do, 0 for an empty one.  Those
 * of the table are good until one is added. */
void facts_rank(struct facts *t, struct fact **v, size_t n, enum fact_text by);

#endif
