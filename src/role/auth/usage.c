/* SPDX-License-Identifier: ISC */
/* What an account may send in a day: asked by smtpd for each message. */
#include "store/usage.h"

#include "role/auth/auth.h"
#include "sys/clock.h"

bool auth_spend(struct ipc_session *s, struct wire *w)
{
	struct auth *auth = s->role_ctx;
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct buf b CLEANUP(buf_fini);
	struct strs recipients = {0};
	struct usage_limits limits;
	struct usage_result r;
	struct fault f;

	int64_t account = (int64_t)wire_u64(w);
	limits.messages = (int64_t)wire_u64(w);
	limits.recipients = (int64_t)wire_u64(w);
	limits.new_recipients = (int64_t)wire_u64(w);
	uint32_t n = wire_count(w, 4);
	for (uint32_t i = 0; i < n; i++)
		strs_add(&recipients, a, wire_str(w));
	if (!wire_ok(w))
		return false;
	pthread_mutex_lock(&auth->usage_lock);
	bool ok = usage_spend(auth->usage, account, clock_unix(), &recipients,
		&limits, &r, &f);
	pthread_mutex_unlock(&auth->usage_lock);
	if (!ok)
		return ipc_answer_fault(s, &f);
	buf_init(&b, 64);
	wire_put_u8(&b, (uint8_t)r.over);
	wire_put_u64(&b, (uint64_t)r.count);
	wire_put_u8(&b, r.first);
	return ipc_answer(s, IPC_OK, buf_str(&b), -1);
}
