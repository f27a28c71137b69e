/* SPDX-License-Identifier: ISC */
#ifndef STORE_MEM_MEM_H
#define STORE_MEM_MEM_H

/*
 * The engine of store.h that keeps all in memory, shared by its files.  For
 * tests: what is above the store sees no file, and nothing outlives a close.
 * It is chosen when a program is linked (tests/meson.build).
 *
 * One lock is for all.  What may not be changed is found before anything is.
 * What was expunged stays as a row with .ended while somebody reads the
 * account, so that a reading sees one moment.
 */

#include <pthread.h>

#include "store/acl.h"
#include "store/rules.h"

struct mem_body {
	unsigned refs; /* rows */
	int64_t id;
	struct str bytes, cache;
};

struct mem_row {
	uint32_t uid, flags;
	uint64_t modseq, born, ended; /* ended 0: it is there */
	int64_t received, saved, stamp;
	struct str prefix, keywords;
	struct mem_body *body;
};

struct mem_gone {
	uint32_t uid;
	uint64_t modseq;
};

struct mem_entry { /* an annotation, or somebody's rights */
	struct str name, value;
	int64_t grantee;
	unsigned rights;
};
struct mem_entries { /* by name */
	struct mem_entry *v;
	size_t n, cap;
};

struct mem_box {
	struct store_mailbox m; /* .name is ours; .subscribed is not kept */
	struct mem_row *rows; /* by UID */
	size_t n, cap;
	struct mem_gone *gone; /* by MODSEQ */
	size_t n_gone, cap_gone;
	struct mem_entries metadata, acl;
	struct mem_box *next; /* of those that were deleted */
};

struct mem_account {
	int64_t id;
	uint64_t modseq;
	uint32_t validity; /* the last that was given */
	int64_t last_box;
	struct mem_box **boxes; /* by name; NULL: nobody touched it yet */
	size_t n, cap;
	struct mem_entries subscriptions, sharers, metadata;
	struct map *deliveries; /* "MSG MAILBOX" */
	/* Who reads sees what was there: freed when nobody does. */
	unsigned readings;
	struct mem_box *deleted;
};

struct store {
	pthread_mutex_t lock;
	struct store_settings settings;
	struct map *accounts; /* by the octets of the id */
	int64_t last_blob;
};

/* Takes the lock, which mem_leave gives back; never NULL.  born: an account has
 * its first mailboxes from then on. */
struct mem_account *mem_enter(struct store *s, int64_t account, bool born);
void mem_leave(struct store *s);

/* All with the lock held. */

struct mem_box *mem_named(const struct mem_account *a, struct str name);
struct mem_box *mem_box(const struct mem_account *a, int64_t id);
struct mem_box *mem_make_box(
	struct mem_account *a, struct str name, enum store_role role);
void mem_put_in(struct mem_account *a, struct mem_box *b);
/* Nobody finds it any more. */
void mem_take_out(struct mem_account *a, const struct mem_box *b);
void mem_free_box(struct mem_box *b);
uint32_t mem_next_validity(struct mem_account *a);

/* NULL: it is not there; rows that ended are not. */
struct mem_row *mem_row(const struct mem_box *b, uint32_t uid);
size_t mem_row_from(const struct mem_box *b, uint32_t uid); /* where from on */
static inline uint64_t mem_size(const struct mem_row *r)
{
	return r->prefix.len + r->body->bytes.len;
}
/* The account's last MODSEQ is theirs.  The new row has the next UID and copies
 * of its texts, and takes a reference to its body. */
struct mem_row *mem_add_row(
	struct mem_account *a, struct mem_box *b, const struct mem_row *row);
void mem_end_row(struct mem_account *a, struct mem_box *b, struct mem_row *row);
void mem_free_row(struct mem_row *row);
/* Rows that ended are freed, where nobody reads. */
void mem_settle(struct mem_account *a);
void mem_unref(struct mem_body *body);

/* By name; NULL: there is none. */
struct mem_entry *mem_entry(const struct mem_entries *v, struct str name);
void mem_entry_set(struct mem_entries *v, const struct mem_entry *e);
void mem_entry_remove(struct mem_entries *v, struct str name);
void mem_entries_free(struct mem_entries *v);
/* Their names, in the arena. */
void mem_names(
	const struct mem_entries *v, struct arena *arena, struct strs *names_r);

/* On the heap, with a NUL behind it; of an absent one there is none. */
struct str mem_str(struct str s);
void mem_str_free(struct str s);

#endif
