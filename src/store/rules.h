/* SPDX-License-Identifier: ISC */
#ifndef STORE_RULES_H
#define STORE_RULES_H

/*
 * rules: what each engine of store.h decides alike, whatever it keeps things
 * in.  Pure functions.
 */

#include "store/store.h"

enum {
	STORE_NAMES_ONLY_MAX = 1000, /* subscribed, and no mailbox is there */
	STORE_ACL_MAX = 1000, /* entries of one mailbox */
	STORE_METADATA_MAX = 100, /* of one mailbox, or account */
	STORE_BORN = 6,
};
/* An import must leave numbers to give: UIDs, UIDVALIDITYs. */
static const uint32_t STORE_KEPT_MAX = 0xf0000000;

/* The mailboxes of a new account; it is subscribed to each. */
struct store_born {
	const char *name;
	enum store_role role;
};
extern const struct store_born store_born[STORE_BORN];

/* ---- flags ---- */

uint32_t store_merge_flags(const struct store_flags *x, uint32_t have);
/* The words of a row, blanks between; set: those of x, joined. */
struct str store_merge_keywords(const struct store_flags *x, struct str have,
	struct str set, struct arena *a);
struct str store_join(const struct strs *keywords, struct arena *a);
bool store_keywords_fit(struct str keywords, struct fault *f);

/* ---- faults ---- */

bool store_no_such(struct str name, struct fault *f);
bool store_there_is(struct str name, struct fault *f);
/* Does so much fit? */
bool store_quota_fits(const struct store_quota *quota, uint64_t bytes,
	uint64_t messages, struct fault *f);

/* ---- messages ---- */

/* The header of a message, with the blank line. */
struct str store_head(struct str message);
/* Copies what it is made of. */
void store_message_make(struct store_message *m, struct str cache,
	struct str prefix, struct str data);

#endif
