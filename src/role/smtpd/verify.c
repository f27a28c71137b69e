/* SPDX-License-Identifier: ISC */
/* reject_unverified_*: the queue role is asked, which probes. */
#include "role/smtpd/smtpd.h"

enum { VERIFY_ANSWER_MS = 5000 };

enum verify_status smtpd_verify(
	struct str address, struct arena *a, struct str *text_r, void *ctx)
{
	const struct smtpd_service *sv = ctx;
	struct ipc_frame reply CLEANUP(ipc_frame_fini);
	struct buf b CLEANUP(buf_fini);
	int64_t wait_ms = sv->c->address_verify_poll_count *
			  sv->c->address_verify_poll_delay * 1000;
	struct fault f;

	*text_r = STR("Address verification in progress");
	ipc_frame_init(&reply);
	buf_init(&b, 8192);
	wire_put_str(&b, address);
	wire_put_u32(&b, (uint32_t)wait_ms);
	if (!ipc_call(sv->role->queue, IPC_VERIFY, buf_str(&b), -1,
		    wait_ms + VERIFY_ANSWER_MS, &reply, &f))
		return VERIFY_TEMP;
	struct wire w = {.rest = buf_str(&reply.payload)};
	uint8_t status = wire_u8(&w);
	*text_r = arena_str(a, wire_str(&w));
	return wire_ok(&w) && status <= VERIFY_PENDING
		       ? (enum verify_status)status
		       : VERIFY_TEMP;
}
