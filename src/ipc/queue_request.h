/* SPDX-License-Identifier: ISC */
#ifndef IPC_QUEUE_REQUEST_H
#define IPC_QUEUE_REQUEST_H

/* What a person asks of the queue: which messages, and what to do with them.
 * Payload of IPC_QUEUE_LIST and IPC_QUEUE_ACT. */

#include "ipc/wire.h"

enum queue_action {
	QUEUE_FLUSH, /* tried now */
	QUEUE_HOLD,
	QUEUE_RELEASE,
	QUEUE_DELETE,
	QUEUE_EXPIRE, /* given up, and the sender is told */
	QUEUE_REQUEUE, /* aliases are looked up again; as if it had just come */
	QUEUE_REDIRECT, /* to another address */
	QUEUE_REROUTE, /* by another transport and next hop */
	QUEUE_ACTIONS
};

/* All that is given must be so; what is absent, or 0, does not choose.  An
 * address may be "@domain". */
struct queue_request {
	enum queue_action action; /* of IPC_QUEUE_ACT */
	uint64_t id;
	struct str sender; /* "" for reports */
	struct str recipient; /* one that still waits */
	struct str reason; /* a part of why it waits, any case */
	struct str site; /* its next hop, or a mail exchanger there */
	int64_t older_than; /* seconds */
	uint64_t limit; /* rows of a list */
	struct str to; /* QUEUE_REDIRECT, QUEUE_REROUTE */
};

void queue_request_put(struct buf *b, const struct queue_request *r);
bool queue_request_read(struct wire *w, struct queue_request *r_r);

#endif
