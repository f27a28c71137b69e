/* SPDX-License-Identifier: ISC */
#ifndef ROLE_ACCOUNTS_CACHE_H
#define ROLE_ACCOUNTS_CACHE_H

/*
 * accounts_cache: answers of the auth role, kept while accounts.db has not
 * changed.
 *
 * Every look-up compares size and time of the database's files with those at
 * the time of the answer, so that a change acts at once; an answer that is
 * younger than the clock of the file system can tell apart is not kept.
 * Bounded.  Thread-safe.
 */

#include "conf/table.h"

struct accounts_cache;

/* data_dir: data_directory */
struct accounts_cache *accounts_cache_new(const char *data_dir);
/* False: not kept.  *value_r lives in the arena with TABLE_FOUND.
 * *version_r: of the files, for the put that follows. */
bool accounts_cache_get(struct accounts_cache *c, struct str key,
	struct arena *a, enum table_result *result_r, struct str *value_r,
	uint64_t *version_r);
/* r: TABLE_FOUND or TABLE_NONE, asked for after that version was seen. */
void accounts_cache_put(struct accounts_cache *c, struct str key,
	enum table_result r, struct str value, uint64_t version);

#endif
