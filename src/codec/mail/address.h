/* SPDX-License-Identifier: ISC */
#ifndef CODEC_MAIL_ADDRESS_H
#define CODEC_MAIL_ADDRESS_H

/*
 * mail_address: the address lists of From, To, Cc and their like.
 *
 * RFC 5322 3.4 (address-list, group), 4.4 (obsolete routes), 3.2.2 (comments)
 * RFC 6532 3.2 (UTF-8)
 *
 * Reads what it can and skips what is broken: a header is never refused
 * here.  Pure; linear in the input, no recursion.
 */

#include "base/arena.h"

enum mail_address_kind {
	MAIL_MAILBOX,
	MAIL_GROUP_START, /* name is the group's */
	MAIL_GROUP_END,
};

struct mail_address {
	enum mail_address_kind kind;
	struct str name; /* display name, unquoted, or else the comment behind
			  * the address; absent without */
	struct str route; /* obsolete route; absent without */
	struct str local; /* unquoted */
	struct str domain; /* absent for a bare word */
	struct str spec; /* the addr-spec as it stands in the input */
};

struct mail_address_list {
	struct mail_address *v;
	size_t n;
	size_t cap;
};

/*
 * Appends the addresses of a field value, at most max of them in all;
 * returns false when there were more.
 */
bool mail_address_parse(struct str value, size_t max, struct arena *a,
	struct mail_address_list *list);

#endif
