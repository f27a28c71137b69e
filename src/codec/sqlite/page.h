/* SPDX-License-Identifier: ISC */
#ifndef CODEC_SQLITE_PAGE_H
#define CODEC_SQLITE_PAGE_H

/*
 * sqlite_page: rows of an SQLite file, page by page, without the trees that
 * lead to them: for a file whose trees are damaged.
 * https://sqlite.org/fileformat2.html (1.3, 1.5, 1.6, 2.1)
 *
 * Pure.  Views point into the pages.
 */

#include "base/str.h"

struct sqlite_header {
	size_t page_bytes;
	size_t usable; /* of a page */
	uint32_t free_first; /* page with a list of free ones; 0: none */
	uint32_t free_pages; /* in all */
};
/* From the first page; false: it is none, or pages may move (auto_vacuum). */
bool sqlite_header_read(struct str page, struct sqlite_header *h_r);

/* A page with a list of free ones. */
struct sqlite_trunk {
	uint32_t next; /* 0: the last */
	uint32_t n;
	struct str numbers;
};
bool sqlite_trunk_read(
	struct str page, size_t usable, struct sqlite_trunk *t_r);
uint32_t sqlite_trunk_page(const struct sqlite_trunk *t, uint32_t i);

struct sqlite_page {
	struct str bytes;
	size_t usable;
	bool numbered; /* rows of a table with rowids */
	size_t n; /* cells */
	size_t pointers; /* where their places stand */
	size_t child; /* octets in front of a cell */
};
/* first: it is the first page of the file.  False: there are no rows in it. */
bool sqlite_page_read(
	struct str bytes, size_t usable, bool first, struct sqlite_page *p_r);

struct sqlite_cell {
	int64_t rowid; /* of a numbered page */
	uint64_t size; /* of the record */
	struct str local; /* what of it stands here */
	uint32_t overflow; /* the page where it goes on; 0: all is here */
};
bool sqlite_cell_read(
	const struct sqlite_page *p, size_t i, struct sqlite_cell *c_r);
/* A page where a record goes on: what it has, and the next one. */
struct str sqlite_overflow(struct str page, size_t usable, uint32_t *next_r);

enum sqlite_kind {
	SQLITE_V_NULL,
	SQLITE_V_INT,
	SQLITE_V_REAL, /* .n has its bits */
	SQLITE_V_TEXT,
	SQLITE_V_BLOB
};
struct sqlite_value {
	enum sqlite_kind kind;
	int64_t n;
	struct str s;
};
/* False: it does not read, or has more than max values. */
bool sqlite_record_read(
	struct str record, struct sqlite_value *v, size_t max, size_t *n_r);

#endif
