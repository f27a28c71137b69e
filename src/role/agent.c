/* SPDX-License-Identifier: ISC */
#include "role/agent.h"

#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "base/must.h"

enum { STACK_BYTES = 512 * 1024, RETRY_MS = 200 };

struct agent {
	struct role *role;
	enum agent_kind kind;
	agent_deliver_f *deliver;
	void *ctx;
};

void outcome_fault(struct outcome_of *o, uint32_t n, const struct fault *f,
	struct arena *a)
{
	*o = (struct outcome_of){.n = n,
		.kind = f->class == FAULT_PERM ? BOUNCED : DEFERRED,
		.subject = f->subject,
		.detail = f->detail,
		.text = arena_str(a, str_from(f->text))};
}

static bool one_job(
	struct agent *ag, int sock, struct ipc_frame *frame, struct arena *a)
{
	struct buf b CLEANUP(buf_fini);
	struct wire w = {.rest = buf_str(&frame->payload)};
	struct ipc_frame body CLEANUP(ipc_frame_fini);
	struct text text CLEANUP(text_fini) = {.fd = -1};
	struct outcomes o = {0};
	struct job job;
	struct fault f;

	ipc_frame_init(&body);
	buf_init(&b, IPC_PAYLOAD_MAX);
	if (!job_read(&w, a, &job) ||
		!ipc_send(sock, IPC_JOB_BODY, STR_NONE, -1, &f) ||
		!ipc_recv(sock, 30000, &body, &f))
		return false;
	o.v = arena_alloc(a, (job.n_pick + 1) * sizeof(*o.v));
	struct wire in = {.rest = buf_str(&body.payload)};
	if (body.type == IPC_OK && text_read(&in, &body, &text)) {
		ag->deliver(&job, &text, a, &o, ag->ctx);
	} else {
		ipc_read_fault(buf_str(&body.payload), &f);
		f.class = FAULT_TEMP;
		for (uint32_t i = 0; i < job.n_pick; i++)
			outcome_fault(&o.v[i], job.pick[i], &f, a);
		o.n = job.n_pick;
	}
	outcomes_put(&b, &o);
	__atomic_add_fetch(&ag->role->slot->served, 1, __ATOMIC_RELAXED);
	return ipc_send(sock, IPC_JOB_DONE, buf_str(&b), -1, &f);
}

static void *work(void *arg)
{
	struct agent *ag = arg;
	struct arena *a = arena_new(SIZE_MAX);
	struct ipc_frame frame;
	struct fault f;
	char kind = (char)ag->kind;

	ipc_frame_init(&frame);
	for (;;) {
		int sock = ipc_client_take(ag->role->queue, &f);
		struct timespec pause = {.tv_nsec = RETRY_MS * 1000000L};

		while (sock >= 0 &&
			ipc_send(
				sock, IPC_JOB_NEXT, str_of(&kind, 1), -1, &f) &&
			ipc_recv(sock, -1, &frame, &f) &&
			frame.type == IPC_JOB && one_job(ag, sock, &frame, a))
			arena_reset(a);
		arena_reset(a);
		if (sock >= 0)
			close(sock);
		/* The queue is being restarted. */
		nanosleep(&pause, NULL);
	}
	return NULL;
}

void agent_start(struct role *r, enum agent_kind kind, unsigned threads,
	agent_deliver_f *deliver, void *ctx)
{
	struct agent *ag = arena_make(r->a, struct agent);
	pthread_attr_t attr;

	*ag = (struct agent){r, kind, deliver, ctx};
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	for (unsigned i = 0; i < threads; i++) {
		pthread_t thread;

		must(pthread_create(&thread, &attr, work, ag) == 0);
	}
	pthread_attr_destroy(&attr);
}
