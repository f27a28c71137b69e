/* SPDX-License-Identifier: ISC */
#ifndef STORE_SALVAGE_H
#define STORE_SALVAGE_H

/*
 * salvage: a shard file whose pages are damaged, made anew of the rows that can
 * still be read.
 *
 * Tables are read from both ends up to what is damaged.  What lies behind it is
 * taken page by page (salvage_pages.h), so that a page that cannot be read
 * costs what stood in it; where that is not possible, it is asked for by
 * number: mailboxes of each account, UIDs of each mailbox.  Bodies are those
 * that a message names.
 */

#include "base/fault.h"

struct db;

/* Makes fresh, a file that is not there, of path.  The caller has both alone.
 * What the invariants want is store_repair's.  *lost_r: UIDs that were given,
 * are not there, and whose end is not on record.  Clients are told that they
 * are gone. */
bool store_salvage(
	const char *path, const char *fresh, uint64_t *lost_r, struct fault *f);

/* sqlite.c: the tables, as this version has them */
bool store_make_tables(struct db *db, struct fault *f);

#endif
