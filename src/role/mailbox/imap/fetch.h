/* SPDX-License-Identifier: ISC */
#ifndef ROLE_MAILBOX_IMAP_FETCH_H
#define ROLE_MAILBOX_IMAP_FETCH_H

/* fetch: what a FETCH command asks for, and one message's answer to it.
 * RFC 9051 6.4.5, RFC 3516, RFC 7162, RFC 8474, RFC 8514, RFC 8970 */

#include "role/mailbox/imap/imap.h"
#include "role/mailbox/imap/prefetch.h"
#include "role/mailbox/summary.h"

enum { FETCH_ITEMS_MAX = 64 };

enum fetch_kind {
	I_FLAGS,
	I_UID,
	I_INTERNALDATE,
	I_SIZE,
	I_MODSEQ,
	/* of the store */
	I_SAVEDATE,
	I_EMAILID,
	/* of the summary */
	I_THREADID,
	I_PREVIEW,
	I_ENVELOPE,
	I_STRUCTURE,
	/* of the bytes */
	I_BODY,
	I_RFC822,
	I_RFC822_HEADER,
	I_RFC822_TEXT,
	I_SECTION,
	I_BINARY,
	I_BINARY_SIZE
};

struct fetch_item {
	enum fetch_kind kind;
	struct imap_section section;
};

struct fetch {
	struct imap *s;
	struct fetch_item items[FETCH_ITEMS_MAX];
	size_t n;
	bool sets_seen;
	/* modifiers: RFC 7162 3.1.4, 3.2.6; RFC 9394 */
	uint64_t changed_since;
	bool has_changed_since;
	bool vanished;
	bool has_partial;
	struct imap_partial partial;
	struct arena *a; /* reset for each message */
	struct prefetch *ahead; /* NULL: none */
};

bool fetch_parse(struct fetch *x, struct imap_in *in);
/* One item, a macro, or (items); without what may stand behind. */
bool fetch_parse_items(struct fetch *x, struct imap_in *in);
/* " (items)", where they stand there: RFC 5465 5.2, 7.  items_r: the text, for
 * fetch_unasked; left as it is where there is none.  False: they do not read.
 */
bool fetch_parse_behind(
	struct imap *s, struct imap_in *in, struct str *items_r);
/* Nobody asked now: these items, but of what the command itself brought.
 * RFC 5465 5.2 */
void fetch_unasked(
	struct imap *s, struct str items, const uint32_t *uids, size_t n);
/* The same of all above a UID. */
void fetch_new(struct imap *s, struct str items, uint32_t above);
/* What it reads of a message, beyond its row: store_part; 0: nothing. */
unsigned fetch_parts(const struct fetch *x);
bool fetch_wants(const struct fetch *x, enum fetch_kind kind);

enum fetch_result {
	FETCH_DONE,
	FETCH_MISSING,
	FETCH_UNKNOWN_CTE,
	FETCH_FAILED
};
/* seen_now: \Seen came by this command.  FETCH_MISSING: it was expunged. */
enum fetch_result fetch_put(
	struct fetch *x, const struct pick *p, bool seen_now, struct fault *f);

#endif
