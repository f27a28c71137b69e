/* SPDX-License-Identifier: ISC */
#include "ipc/queue_request.h"

void queue_request_put(struct buf *b, const struct queue_request *r)
{
	wire_put_u8(b, (uint8_t)r->action);
	wire_put_u64(b, r->id);
	wire_put_str(b, r->sender);
	wire_put_str(b, r->recipient);
	wire_put_str(b, r->reason);
	wire_put_str(b, r->site);
	wire_put_u64(b, (uint64_t)r->older_than);
	wire_put_u64(b, r->limit);
	wire_put_str(b, r->to);
}

bool queue_request_read(struct wire *w, struct queue_request *r_r)
{
	struct queue_request r = {.action = (enum queue_action)wire_u8(w)};

	r.id = wire_u64(w);
	r.sender = wire_str(w);
	r.recipient = wire_str(w);
	r.reason = wire_str(w);
	r.site = wire_str(w);
	r.older_than = (int64_t)wire_u64(w);
	r.limit = wire_u64(w);
	r.to = wire_str(w);
	if (!wire_ok(w) || r.action >= QUEUE_ACTIONS)
		return false;
	*r_r = r;
	return true;
}
