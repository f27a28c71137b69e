/* SPDX-License-Identifier: ISC */
#ifndef STORE_FTS_H
#define STORE_FTS_H

/*
 * fts: the words of one account's mail, to find a text without reading all of
 * it: $mail_storage_directory/fts/ACCOUNT.db, an FTS5 file.
 *
 * Disposable: whoever finds it broken or missing removes it and builds it
 * again.  A row is a blob (store.h), so copies and moves change nothing; rows
 * of blobs that are gone are left until it is built anew.
 *
 * A word is a run of ASCII letters, digits and bytes above 0x7f, in text that
 * casemap has folded.  What is asked for is a piece of text: words that
 * contain the longest run of it are looked up among all words, and the blobs
 * that have one of them are candidates.  No blob with the text is missing.
 *
 * One thread at a time per handle; one writer per file.
 */

#include "base/arena.h"
#include "base/fault.h"

struct fts;

enum fts_column { FTS_HEADER, FTS_BODY, FTS_TEXT /* both */ };

/* NULL with a fault.  make: where there is none; else NULL, FAULT_PERM. */
struct fts *fts_open(
	const char *dir, int64_t account, bool make, struct fault *f);
void fts_close(struct fts *t);
void fts_remove(const char *dir, int64_t account);

/* ---- writing: between begin and commit ---- */

bool fts_begin(struct fts *t, struct fault *f);
bool fts_commit(struct fts *t, struct fault *f);
/* header and body are folded.  A blob that is there already is no error. */
bool fts_add(struct fts *t, int64_t blob, struct str header, struct str body,
	struct fault *f);
/* All messages of the mailbox up to uid are in. */
bool fts_mark(struct fts *t, int64_t mailbox, uint32_t uid, struct fault *f);

/* ---- reading ---- */

/* 0: nothing of it is in. */
bool fts_marked(
	struct fts *t, int64_t mailbox, uint32_t *uid_r, struct fault *f);
/*
 * Blobs that may have the folded key, ascending, in the arena.  *usable_r
 * false: the key has no word to go by, or fits too many: look everywhere.
 */
bool fts_candidates(struct fts *t, enum fts_column column, struct str key,
	struct arena *a, int64_t **blobs_r, size_t *n_r, bool *usable_r,
	struct fault *f);

#endif
