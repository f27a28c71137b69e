/* SPDX-License-Identifier: ISC */
#ifndef CODEC_IMAP_MAILBOX_NAME_H
#define CODEC_IMAP_MAILBOX_NAME_H

/* Names of mailboxes: UTF-8, "/" between levels.  RFC 9051 5.1.  Pure. */

#include "base/arena.h"

enum { MAILBOX_NAME_MAX = 500 }; /* bytes */

/* Can a client make a mailbox of that name? */
bool imap_mailbox_name_valid(struct str name);
/* The nearest name that can be made, in the arena: for folders from elsewhere.
 * INBOX in whatever case is INBOX. */
struct str imap_mailbox_name_mended(struct str name, struct arena *a);

#endif
