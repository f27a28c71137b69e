/* SPDX-License-Identifier: ISC */
#ifndef STORE_ACL_H
#define STORE_ACL_H

/*
 * acl: who else may use a mailbox.  RFC 4314.
 *
 * The rights stand beside the mailbox, and are what counts.  That a grantee
 * was given something by an owner is noted beside the grantee, too, so that
 * his LIST finds it; a note without rights is harmless.
 * A mailbox that is made below another has the rights of that.
 */

#include "store/store.h"

enum store_right {
	RIGHT_LOOKUP = 1u << 0, /* l */
	RIGHT_READ = 1u << 1, /* r */
	RIGHT_SEEN = 1u << 2, /* s */
	RIGHT_WRITE = 1u << 3, /* w */
	RIGHT_INSERT = 1u << 4, /* i */
	RIGHT_POST = 1u << 5, /* p */
	RIGHT_CREATE = 1u << 6, /* k */
	RIGHT_DELETE = 1u << 7, /* x */
	RIGHT_DELETED = 1u << 8, /* t */
	RIGHT_EXPUNGE = 1u << 9, /* e */
	RIGHT_ADMINISTER = 1u << 10, /* a */
	RIGHTS_ALL = 0x7ff,
};

/* A grantee is an account, by its id, who is logged in, or a group, by its
 * name; from whom a right is taken away is marked. */
enum { STORE_ANYONE = 0 };
static const int64_t STORE_GROUP = (int64_t)1 << 61;
static const int64_t STORE_NEGATIVE = (int64_t)1 << 62;
int64_t store_group(struct str name);

struct store_acl {
	int64_t mailbox;
	int64_t grantee;
	struct str name; /* as it was given: an address, "anyone", "$group",
			  * perhaps with "-" in front */
	unsigned rights;
};

/* Of a mailbox, or of all of the account (mailbox 0); by name; in the arena. */
bool store_acls(struct store *s, int64_t account, int64_t mailbox,
	struct arena *a, struct store_acl **v_r, size_t *n_r, struct fault *f);
/* Rights 0: the entry goes.  FAULT_PERM: the mailbox is gone (detail 2), or
 * too many entries (5). */
bool store_acl_set(struct store *s, int64_t account,
	const struct store_acl *acl, struct fault *f);

/* Owners that shared something with the grantee: addresses. */
bool store_sharers(struct store *s, int64_t grantee, struct arena *a,
	struct strs *owners_r, struct fault *f);
/* Notes that, or that he does no more. */
bool store_note_sharer(struct store *s, int64_t grantee, struct str owner,
	bool shares, struct fault *f);

#endif
