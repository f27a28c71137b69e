/* SPDX-License-Identifier: ISC */
#include "role/agent.h"

#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "base/must.h"
#include "sys/thread.h"

enum {
	STACK_BYTES = 512 * 1024,
	RETRY_MS = 200,
	IDLE_MS = 60000,
	KEPT = 4, /* threads that stay without work */
	/* Who is replaced while it drains has time; for the others the next
	 * one waits. */
	END_SENDER_S = 600,
	END_S = 4,
};

struct agent {
	pthread_mutex_t lock;
	pthread_cond_t done;
	unsigned threads, idle, most;
	unsigned busy; /* jobs in hand */
	bool ending; /* no further job */
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

/* The text, where it did not come with the job; false: the outcome is f. */
static bool fetch_text(int sock, const struct job *job, struct ipc_frame *body,
	struct text *text, bool *gone_r, struct fault *f)
{
	*gone_r = false;
	if (str_present(job->text)) {
		*text = text_view(job->text);
		return true;
	}
	if (!ipc_send(sock, IPC_JOB_BODY, STR_NONE, -1, f) ||
		!ipc_recv(sock, 30000, body, f)) {
		*gone_r = true;
		return false;
	}
	struct wire in = {.rest = buf_str(&body->payload)};
	if (body->type == IPC_OK && text_read(&in, body, text))
		return true;
	ipc_read_fault(buf_str(&body->payload), f);
	f->class = FAULT_TEMP;
	return false;
}

/* False: the queue has gone. */
static bool one_job(
	struct agent *ag, int sock, struct ipc_frame *frame, struct arena *a)
{
	struct buf b CLEANUP(buf_fini);
	struct wire w = {.rest = buf_str(&frame->payload)};
	struct ipc_frame body CLEANUP(ipc_frame_fini);
	struct text text CLEANUP(text_fini) = {.fd = -1};
	struct outcomes o = {0};
	struct job job;
	bool gone;
	struct fault f;

	ipc_frame_init(&body);
	buf_init(&b, IPC_PAYLOAD_MAX);
	if (!job_read(&w, a, &job))
		return false;
	o.v = arena_alloc(a, (job.n_pick + 1) * sizeof(*o.v));
	if (fetch_text(sock, &job, &body, &text, &gone, &f)) {
		ag->deliver(&job, &text, a, &o, ag->ctx);
	} else if (gone) {
		return false;
	} else {
		for (uint32_t i = 0; i < job.n_pick; i++)
			outcome_fault(&o.v[i], job.pick[i], &f, a);
		o.n = job.n_pick;
	}
	outcomes_put(&b, &o);
	__atomic_add_fetch(&ag->role->slot->served, 1, __ATOMIC_RELAXED);
	return ipc_send(sock, IPC_JOB_DONE, buf_str(&b), -1, &f);
}

static void start_thread(struct agent *ag);

/* Somebody else must wait for the next job.  False: it is not to be begun; the
 * queue hears that by the end of the conversation. */
static bool at_work(struct agent *ag)
{
	pthread_mutex_lock(&ag->lock);
	bool go = !ag->ending;
	if (go) {
		ag->busy++;
		ag->idle--;
		if (ag->idle == 0 && ag->threads < ag->most)
			start_thread(ag);
	}
	pthread_mutex_unlock(&ag->lock);
	return go;
}

static void idle_again(struct agent *ag)
{
	pthread_mutex_lock(&ag->lock);
	ag->idle++;
	ag->busy--;
	if (ag->busy == 0)
		pthread_cond_signal(&ag->done);
	pthread_mutex_unlock(&ag->lock);
}

/* Nothing came for a while; true: the thread ends. */
static bool may_go(struct agent *ag)
{
	pthread_mutex_lock(&ag->lock);
	bool go = ag->idle > KEPT;
	if (go) {
		ag->idle--;
		ag->threads--;
	}
	pthread_mutex_unlock(&ag->lock);
	return go;
}

/* Who ends asks for nothing: what it was given would go back. */
static bool is_ending(struct agent *ag)
{
	pthread_mutex_lock(&ag->lock);
	bool ending = ag->ending;
	pthread_mutex_unlock(&ag->lock);
	return ending;
}

/* Over one conversation, until the queue or we have enough of it. */
static void serve(
	struct agent *ag, int sock, struct ipc_frame *frame, struct arena *a)
{
	char kind = (char)ag->kind;
	struct fault f;
	bool ok = ipc_send(sock, IPC_JOB_NEXT, str_of(&kind, 1), -1, &f);

	/* The end of a job asks for the next one. */
	while (ok && ipc_recv(sock, IDLE_MS, frame, &f) &&
		frame->type == IPC_JOB && at_work(ag)) {
		ok = one_job(ag, sock, frame, a);
		idle_again(ag);
		arena_reset(a);
	}
}

static void *work(void *arg)
{
	struct agent *ag = arg;
	struct arena *a = arena_new(SIZE_MAX);
	struct timespec pause = {.tv_nsec = RETRY_MS * 1000000L};
	struct ipc_frame frame;
	struct fault f;

	ipc_frame_init(&frame);
	do {
		int sock = ipc_client_take(ag->role->queue, &f);

		if (sock >= 0) {
			serve(ag, sock, &frame, a);
			close(sock);
		}
		arena_reset(a);
		/* It may be being restarted. */
		nanosleep(&pause, NULL);
	} while (!may_go(ag) && !is_ending(ag));
	ipc_frame_fini(&frame);
	arena_free(a);
	return NULL;
}

/* The lock is held. */
static void start_thread(struct agent *ag)
{
	/* Without one more the others do it. */
	if (thread_start(work, ag, STACK_BYTES, NULL)) {
		ag->threads++;
		ag->idle++;
	}
	must(ag->threads > 0);
}

void agent_start(struct role *r, enum agent_kind kind, unsigned threads_max,
	agent_deliver_f *deliver, void *ctx)
{
	struct agent *ag = arena_make(r->a, struct agent);

	*ag = (struct agent){.most = threads_max,
		.role = r,
		.kind = kind,
		.deliver = deliver,
		.ctx = ctx};
	pthread_mutex_init(&ag->lock, NULL);
	pthread_cond_init(&ag->done, NULL);
	r->agent = ag;
	pthread_mutex_lock(&ag->lock);
	for (unsigned i = 0; i < KEPT && i < threads_max; i++)
		start_thread(ag);
	pthread_mutex_unlock(&ag->lock);
}

void agent_end(struct agent *ag)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += ag->kind == AGENT_SENDER ? END_SENDER_S : END_S;
	pthread_mutex_lock(&ag->lock);
	ag->ending = true;
	while (ag->busy > 0)
		if (pthread_cond_timedwait(&ag->done, &ag->lock, &until) != 0)
			break;
	unsigned left = ag->busy;
	pthread_mutex_unlock(&ag->lock);
	if (left > 0)
		log_warn("ending with deliveries in hand", log_n("left", left));
}
