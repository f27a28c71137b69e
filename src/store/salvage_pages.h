/* SPDX-License-Identifier: ISC */
#ifndef STORE_SALVAGE_PAGES_H
#define STORE_SALVAGE_PAGES_H

/*
 * salvage_pages: rows of a shard file from each page that can be read, whatever
 * became of the trees that led to it.  Which table a row is of is seen by what
 * its columns are; what looks the same in two of them (vanished and an index,
 * subscriptions and sharers) is not taken.
 *
 * Free pages have rows of the past: they are left alone, and where it cannot be
 * told which are free, nothing is taken.  So it is where a log stands beside
 * the file.
 */

#include "base/fault.h"

struct db;

struct raw_pages;
/* NULL: not possible with this file; the caller does without. */
struct raw_pages *raw_pages_open(const char *path);
void raw_pages_close(struct raw_pages *r); /* NULL is fine */

enum raw_table {
	RAW_MAILBOXES,
	RAW_MESSAGES,
	RAW_REMOVED,
	RAW_ACL,
	RAW_METADATA,
	RAW_DELIVERIES,
	RAW_SUBSCRIPTIONS,
	RAW_SHARERS,
	RAW_BLOBS, /* those that the table "named" of to has */
	RAW_TABLES
};
/* What is not in to yet. */
bool raw_pages_put(struct raw_pages *r, enum raw_table table, struct db *to,
	struct fault *f);

#endif
