/* SPDX-License-Identifier: ISC */
#ifndef CODEC_IMAP_ENVELOPE_H
#define CODEC_IMAP_ENVELOPE_H

/*
 * imap_envelope: an ENVELOPE that structure.c wrote, read again, for SORT and
 * THREAD.  RFC 9051 7.5.2.  Pure; views into the text or the arena.
 */

#include "base/arena.h"

struct imap_person {
	struct str name, mailbox, host; /* of the first address */
};

struct imap_envelope {
	struct str date, subject; /* raw, unfolded */
	struct imap_person from, to, cc;
	struct str in_reply_to, message_id;
};

bool imap_envelope_read(
	struct str text, struct arena *a, struct imap_envelope *e_r);

#endif
