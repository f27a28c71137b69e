/* SPDX-License-Identifier: ISC */
#ifndef ROLE_MAILBOX_IMAP_NOTIFY_H
#define ROLE_MAILBOX_IMAP_NOTIFY_H

/*
 * notify: what a client wants to hear of, at any time.  RFC 5465.
 *
 * Nothing is logged for it: whenever the session is woken, or answers a
 * command, what there is is held against what there was the last time
 * (snapshot), and the difference is told.  Wakes may be lost or be too many, so
 * may steps in between; what is told is true.
 */

#include "role/mailbox/imap/filter.h"

enum notify_event {
	EVENT_NEW = 1u << 0, /* MessageNew */
	EVENT_EXPUNGE = 1u << 1,
	EVENT_FLAGS = 1u << 2,
	EVENT_MESSAGES = EVENT_NEW | EVENT_EXPUNGE | EVENT_FLAGS,
	EVENT_NAME = 1u << 3,
	EVENT_SUBSCRIPTION = 1u << 4,
	EVENT_METADATA = 1u << 5,
	EVENT_SERVER_METADATA = 1u << 6,
};

struct notify_group {
	struct imap_filter filter;
	unsigned events;
};

struct seen_entry {
	struct str name; /* of an annotation */
	uint64_t hash; /* of its value */
};
struct seen_entries {
	struct seen_entry *v;
	size_t n, cap;
};
struct seen_box {
	int64_t account, id; /* id 0: a subscribed name without a mailbox */
	struct str name;
	uint32_t uidvalidity, uidnext;
	uint64_t n_exists, n_unseen, modseq;
	bool subscribed, children;
	unsigned rights;
	struct seen_entries entries;
};
struct snapshot {
	struct arena *a; /* NULL: none was taken */
	struct seen_box *v; /* by name */
	size_t n;
	const struct seen_box **by_id; /* those with an id, by account and id */
	size_t n_ids;
	struct seen_entries entries; /* of the server */
};

struct imap_notify {
	struct arena *a;
	bool none; /* NOTIFY NONE: not even of the selected mailbox */
	bool delayed; /* SELECTED-DELAYED */
	unsigned selected; /* events of the selected mailbox */
	struct str items; /* that come with MessageNew there; absent: none */
	struct notify_group *groups;
	size_t n_groups;
	struct snapshot last;
	/* Names that the client itself changed since: it knows. */
	struct arena *own_a;
	struct strs own_names;
};

void imap_notify_free(struct imap_notify *n); /* NULL is fine */

/* notify_tell.c */
/* STATUS of what is watched; takes the first snapshot.  status: tell it. */
bool notify_begin(struct imap *s, bool status, struct fault *f);
/* What changed but in the selected mailbox. */
void notify_tell(struct imap *s);

/* notify_snapshot.c */
bool snapshot_take(struct imap *s, struct snapshot *p_r, struct fault *f);
void snapshot_free(struct snapshot *p);
/* NULL: there is none; so there is of id 0. */
const struct seen_box *snapshot_find(
	const struct snapshot *p, int64_t account, int64_t id);
const struct seen_box *snapshot_by_name(
	const struct snapshot *p, struct str name);
/* Of one mailbox, by all groups that have it. */
unsigned notify_events(const struct imap *s, const struct seen_box *box);

#endif
