/* SPDX-License-Identifier: ISC */
#ifndef ROLE_MAILBOX_IMAP_GRANTEE_H
#define ROLE_MAILBOX_IMAP_GRANTEE_H

/*
 * grantee: whom an entry of an access list concerns.  RFC 4314 2
 *
 * An identifier is the address of an account, "anyone", or "$GROUP", those whom
 * imap_acl_groups_maps counts in.  With "-" in front, its rights are taken from
 * what the others give.
 */

#include "store/acl.h"

struct imap;
struct imap_place;

/* Fills in the grantee and his name.  False: answered. */
bool imap_grantee(struct imap *s, const struct imap_place *p,
	struct str identifier, struct store_acl *acl);

/* The session's groups are looked up once; false where the table fails. */
bool imap_groups_known(struct imap *s, struct fault *f);

/* What the entries give the session in a mailbox.  anyone: of struct
 * imap_place.  Its groups are known where an entry is of one. */
unsigned imap_rights(const struct imap *s, const struct store_acl *v, size_t n,
	int64_t mailbox, bool anyone);

#endif
