/* SPDX-License-Identifier: ISC */
#ifndef CODEC_MAIL_MAILDIR_H
#define CODEC_MAIL_MAILDIR_H

/*
 * maildir: the names in a Maildir, and the files that Dovecot keeps in it.
 *
 * A file is called UNIQUE, or UNIQUE:2,FLAGS: D draft, F flagged, P forwarded,
 * R answered, S seen, T deleted, a to z the keywords of dovecot-keywords.
 * Maildir++: the folder A/B of the INBOX is its directory ".A.B", in modified
 * UTF-7.
 *
 * Pure.  Views point into what was given.
 */

#include "base/arena.h"
#include "base/buf.h"
#include "codec/mail/marks.h"

enum { MAILDIR_KEYWORDS = 26 };

struct maildir_name {
	struct str unique; /* up to the ":" */
	struct marks marks;
	uint32_t keywords; /* bit 0: a */
};
struct maildir_name maildir_name_parse(struct str name);
/* ":2,FLAGS" */
void maildir_name_put(
	const struct marks *marks, uint32_t keywords, struct buf *out);

/* "dovecot-uidlist": "3 V1 N5 G..", then "UID [..] :NAME".  False: no such
 * file, or of another version. */
bool maildir_uidlist_begin(struct str *rest, uint32_t *uidvalidity_r);
/* The next line that reads; false at the end. */
bool maildir_uidlist_next(
	struct str *rest, uint32_t *uid_r, struct str *unique_r);
void maildir_uidlist_put_begin(
	uint32_t uidvalidity, uint32_t uidnext, struct buf *out);
void maildir_uidlist_put(uint32_t uid, struct str name, struct buf *out);

/* "dovecot-keywords": "0 $Label1".  names[26], absent where there is none. */
void maildir_keywords_parse(
	struct str text, struct str names[MAILDIR_KEYWORDS]);

/* ".A.B" is A/B; false: not a folder. */
bool maildir_folder_parse(
	struct str directory, struct arena *a, struct str *mailbox_r);
/* What has a "." in its name cannot be written: it gets a "_". */
struct str maildir_folder_name(struct str mailbox, struct arena *a);

/* "subscriptions" of Dovecot, both its versions: the names, with "/".
 * separator: of the older one. */
void maildir_subscriptions_parse(
	struct str text, char separator, struct arena *a, struct strs *names);

#endif
