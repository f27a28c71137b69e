/* SPDX-License-Identifier: ISC */
#ifndef CODEC_SMTP_PATH_H
#define CODEC_SMTP_PATH_H

/*
 * smtp_path: the <...> argument of MAIL and RCPT, and addresses as such.
 *
 * RFC 5321 4.1.2 (Path), 4.1.3 (address literals), 4.5.3.1 (sizes)
 * RFC 6531 3.3   (UTF-8 in both parts, only when the caller says so)
 *
 * Pure: no I/O, no logging, no global state.  Views point into the input.
 */

#include "base/arena.h"
#include "base/str.h"

enum smtp_path_flags {
	SMTP_PATH_UTF8 = 1u << 0, /* SMTPUTF8 was asked for */
	SMTP_PATH_EMPTY = 1u << 1, /* <> is allowed (MAIL) */
	SMTP_PATH_BARE = 1u << 2, /* the brackets may be missing */
	SMTP_PATH_NULL_DOMAIN = 1u << 3, /* local@: the domain is "" */
	SMTP_PATH_NUMERIC = 1u << 4, /* local@192.0.2.1, without brackets */
};

struct smtp_path {
	struct str whole; /* local@domain as sent, without source route */
	struct str local; /* as sent, quotes kept; empty for <> */
	struct str domain; /* absent for <> and for <postmaster> */
};

struct smtp_bad {
	size_t at; /* offset of the byte that broke the rule */
	const char *rule; /* "RFC 5321 4.1.2 Local-part" */
};

enum { SMTP_LOCAL_MAX = 64, SMTP_DOMAIN_MAX = 255, SMTP_PATH_MAX = 256 };

/*
 * Reads a path from the front of *in and moves *in behind it.
 * On failure *in and *path_r are untouched and *bad_r says where and why.
 */
bool smtp_path_parse(struct str *in, unsigned flags, struct smtp_path *path_r,
	struct smtp_bad *bad_r);

/* Splits local@domain at the last @ outside quotes; domain absent without. */
void smtp_address_split(
	struct str address, struct str *local_r, struct str *domain_r);

/* The same address without the quotes of its local part; no syntax any more. */
struct str smtp_address_unquoted(struct str address, struct arena *a);

/* Behind the last @ outside quotes; absent without, or where it is a literal:
 * there is no name to look up. */
struct str smtp_address_domain(struct str address);
/* Is it local@domain, no literal, in full?  utf8: RFC 6531 too. */
bool smtp_address_valid(struct str address, bool utf8);
/* The domain itself, or one below it; in any case. */
bool smtp_domain_is_below(struct str name, struct str domain);

/* No control byte in it?  A line break would begin a command of its own. */
bool smtp_address_clean(struct str address);

/* RFC 5321 4.1.2 Domain, RFC 1123 2.1; labels of letters, digits, - and _. */
bool smtp_domain_valid(struct str domain, bool utf8);
/* 1.2.3.4 */
bool smtp_domain_is_numeric(struct str domain);
/* [1.2.3.4] or [IPv6:...], brackets included. RFC 5321 4.1.3. */
bool smtp_literal_valid(struct str literal);

#endif
