/* SPDX-License-Identifier: ISC */
#ifndef ROLE_MAILBOX_IMAP_RECENT_H
#define ROLE_MAILBOX_IMAP_RECENT_H

/*
 * recent: \Recent, the messages that a session is the first to be told of.
 * RFC 3501 2.3.2.  RFC 9051 took it away: a client of that is told nothing of
 * it, and others find nothing new behind it.
 *
 * What was told is known to all sessions of a box at once, and written down
 * when one closes it: no delivery costs a flush more.  After a crash a message
 * may be recent a second time, which 2.3.2 allows.
 */

#include "role/mailbox/imap/box.h"

struct imap;
struct view;

struct recent_range {
	uint32_t first, last;
};
struct recent {
	struct recent_range *v; /* ascending, apart */
	size_t n, cap;
	size_t count; /* of these messages, those that are left */
};

bool recent_has(const struct recent *r, uint32_t uid);

/* At SELECT and EXAMINE: what is recent now.  The store is read only where
 * there is something. */
bool recent_open(
	struct imap *s, const struct store_mailbox *box, struct fault *f);
/* New messages, from one UID up to below next, are about to be told.  The
 * first that is recent for this session; next: none. */
uint32_t recent_take(struct imap *s, uint32_t from, uint32_t next);
void recent_gone(struct view *v, uint32_t uid); /* its end was told */
void recent_close(struct imap *s);

/* Nobody was told of so many.  STATUS, RFC 3501 6.3.10 */
bool recent_count(struct imap *s, int64_t account,
	const struct store_mailbox *box, uint64_t *n_r, struct fault *f);

#endif
