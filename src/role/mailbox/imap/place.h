/* SPDX-License-Identifier: ISC */
#ifndef ROLE_MAILBOX_IMAP_PLACE_H
#define ROLE_MAILBOX_IMAP_PLACE_H

/*
 * place: where the name of a mailbox leads, and what the session may do there.
 * RFC 2342 (namespaces), RFC 4314 (rights).
 *
 * A user's own mailboxes have their names; those of others are "Other
 * Users/ADDRESS/NAME", those of imap_public_account "Public Folders/NAME".
 * Where nothing is granted, there is nothing: to a stranger, a hidden mailbox
 * answers as one that does not exist.
 */

#include "store/acl.h"

struct imap;

struct imap_place {
	struct store_mailbox box; /* id 0: there is none.  The name is the
				   * session's. */
	int64_t account; /* whose */
	struct str owner; /* his address */
	struct str name; /* in his account */
	unsigned rights; /* store_right, of this session */
	bool anyone; /* entries for anyone count there */
};

#define OTHER_USERS "Other Users/"
#define PUBLIC_FOLDERS "Public Folders/"

/* In the arena of the command; false: a fault. */
bool imap_locate(struct imap *s, struct str name, struct imap_place *p_r,
	struct fault *f);
/* The same for who needs these rights there; false: answered. */
bool imap_find(
	struct imap *s, struct str name, unsigned need, struct imap_place *p_r);
/* The same for who brings messages: TRYCREATE where there is none.  Of the
 * session's own mailboxes the box is not read: the store says what is there. */
bool imap_find_target(struct imap *s, struct str name, struct imap_place *p_r);
/* May the session make a mailbox of that name?  RFC 4314 4: the nearest one
 * above it says so.  Its own have no names that are for those of others. */
bool imap_may_create(struct imap *s, const struct imap_place *p, bool *may_r,
	struct fault *f);

/* The rights in the selected mailbox, as they are now.  False: it cannot be
 * read any more, and the session ends (RFC 4314 5.1.1). */
bool imap_still_may_read(struct imap *s);

/* All of others that the session may know of, by owner. */
struct imap_places {
	struct imap_place *v;
	size_t n, cap;
};
bool imap_places_of_others(
	struct imap *s, struct imap_places *l, struct fault *f);

/* The flags that somebody with these rights may set. RFC 4314 4 */
uint32_t rights_flags(unsigned rights);
/* "lrswipkxtecda", the virtual rights of RFC 2086 among them; sorted as RFC
 * 8440 shows it. */
void rights_put(unsigned rights, struct buf *out);
/* False: a letter that is no right. */
bool rights_parse(struct str letters, unsigned *rights_r);

#endif
