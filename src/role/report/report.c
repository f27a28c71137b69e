/* SPDX-License-Identifier: ISC */
#include "role/report/report.h"

#include <time.h>

#include "base/must.h"
#include "role/ipc_server.h"
#include "sys/clock.h"

enum {
	COMMIT_MS = 2000,
	RETRY_MS = 600000, /* behind a report that could not be made */
	KEEP_PERIODS = 4, /* then it is given up */
};

static int64_t period_of(const struct report_role *r, int64_t at)
{
	return at / r->role->conf->dmarc_report_interval;
}

static bool note(struct ipc_session *s, struct wire *w)
{
	struct report_role *r = s->role_ctx;
	struct dmarc_seen seen;
	struct fault f;

	if (!dmarc_seen_read(w, &seen))
		return false;
	pthread_mutex_lock(&r->lock);
	bool ok = dmarc_store_note(
		r->store, period_of(r, clock_unix()), &seen, &f);
	pthread_mutex_unlock(&r->lock);
	return ok ? ipc_answer(s, IPC_OK, STR_NONE, -1)
		  : ipc_answer_fault(s, &f);
}

/* smtpd waits for no DNS: it has its answer first. */
static bool tell(struct ipc_session *s, struct wire *w)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct report_role *r = s->role_ctx;
	struct dmarc_failed d;
	struct fault f;

	if (!dmarc_failed_read(w, &d) || !ipc_answer(s, IPC_OK, STR_NONE, -1))
		return false;
	if (!report_failure(r, &d, a, &f))
		log_warn("failure report not sent",
			log_s("domain", d.seen.domain), log_fault(&f));
	return true;
}

static bool handle(struct ipc_session *s, struct ipc_frame *frame)
{
	struct wire w = {.rest = buf_str(&frame->payload)};

	return (frame->type == IPC_DMARC_SEEN && note(s, &w)) ||
	       (frame->type == IPC_DMARC_FAILED && tell(s, &w));
}

/* Takes one out that is due; domain absent: there is none. */
static bool take_due(struct report_role *r, struct arena *a,
	struct dmarc_due *due, struct dmarc_report *report, struct fault *f)
{
	pthread_mutex_lock(&r->lock);
	bool ok = dmarc_store_commit(r->store, f) &&
		  dmarc_store_due(
			  r->store, period_of(r, clock_unix()), a, due, f) &&
		  (!str_present(due->domain) ||
			  dmarc_store_rows(r->store, due,
				  DMARC_REPORT_ROWS_MAX / 2, a, report, f));
	pthread_mutex_unlock(&r->lock);
	return ok;
}

static bool forget(
	struct report_role *r, const struct dmarc_due *due, struct fault *f)
{
	pthread_mutex_lock(&r->lock);
	bool ok = dmarc_store_done(r->store, due, f);
	pthread_mutex_unlock(&r->lock);
	return ok;
}

/* One report; false: nothing is due, or not now. */
static bool one(struct report_role *r, int64_t *wait_ms)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct dmarc_report report = {0};
	struct dmarc_due due = {0};
	struct fault f;
	bool ok = take_due(r, a, &due, &report, &f);

	if (ok && !str_present(due.domain))
		return false;
	if (ok && r->role->conf->dmarc_reports)
		ok = report_aggregate(r, &due, &report, a, &f);
	/* Too old to be of use: the next domain must not wait for it. */
	bool old = due.period + KEEP_PERIODS < period_of(r, clock_unix());
	if ((ok || old) && str_present(due.domain))
		ok = forget(r, &due, &f);
	if (!ok) {
		log_warn("report not sent", log_s("domain", due.domain),
			log_fault(&f));
		*wait_ms = RETRY_MS;
	}
	return ok;
}

static void *work(void *ctx)
{
	static const struct timespec pause = {.tv_sec = COMMIT_MS / 1000};
	struct report_role *r = ctx;

	for (;;) {
		int64_t wait_ms = COMMIT_MS;

		while (one(r, &wait_ms))
			;
		for (int64_t slept = 0; slept < wait_ms; slept += COMMIT_MS) {
			struct fault f;

			nanosleep(&pause, NULL);
			pthread_mutex_lock(&r->lock);
			if (!dmarc_store_commit(r->store, &f))
				log_error("reports", log_fault(&f));
			pthread_mutex_unlock(&r->lock);
		}
	}
	return NULL;
}

int role_report(struct role *role)
{
	static const struct ipc_handlers handlers = {handle, NULL};
	struct report_role *r = must_alloc(sizeof(*r));
	pthread_t thread;
	struct fault f;

	r->role = role;
	r->failures = failure_counts_new();
	pthread_mutex_init(&r->lock, NULL);
	role_resolver(role);
	role_may_write(role, arena_printf(role->a, "%.*s/reports",
				     STR_ARG(role->conf->data_directory)));
	r->store = dmarc_store_open(
		arena_cstr(role->a, role->conf->data_directory), &f);
	if (r->store == NULL)
		role_die(role, &f);
	role_sandbox(role, true);
	role->crew = crew_new(4);
	ipc_serve(role->crew, role->ipc_fd, &handlers, r);
	must(pthread_create(&thread, NULL, work, r) == 0);
	int rc = role_run(role, 500);
	pthread_mutex_lock(&r->lock);
	if (!dmarc_store_commit(r->store, &f))
		log_error("reports", log_fault(&f));
	return rc; /* the process ends with the lock held */
}
