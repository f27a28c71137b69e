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
	ROWS_MAX = 50000, /* of one report */
};

static const struct report_kind kinds[REPORT_KINDS] = {
	[REPORT_DMARC] = {"dmarc", report_aggregate},
	[REPORT_TLS] = {"tls", report_tls},
};

/* check wants it to be at least that. */
int64_t report_interval(const struct report_role *r)
{
	int64_t s = r->role->conf->dmarc_report_interval;

	return s > 0 ? s : 1;
}

static int64_t period_of(const struct report_role *r, int64_t at)
{
	return at / report_interval(r);
}

/* ---- what was seen ---- */

static bool note(struct ipc_session *s, int kind, struct str domain,
	struct str record, struct str row)
{
	struct report_role *r = s->role_ctx;
	struct fault f;

	pthread_mutex_lock(&r->lock);
	bool ok = counted_note(r->counts[kind], period_of(r, clock_unix()),
		domain, record, row, &f);
	pthread_mutex_unlock(&r->lock);
	return ok ? ipc_answer(s, IPC_OK, STR_NONE, -1)
		  : ipc_answer_fault(s, &f);
}

static bool note_dmarc(struct ipc_session *s, struct wire *w)
{
	struct dmarc_seen seen;
	struct buf row CLEANUP(buf_fini);

	buf_init(&row, 65536);
	if (!dmarc_seen_read(w, &seen))
		return false;
	dmarc_row_put(&row, &seen.row);
	return note(s, REPORT_DMARC, seen.domain, seen.record, buf_str(&row));
}

static bool note_tls(struct ipc_session *s, struct wire *w)
{
	struct tls_seen seen;
	struct buf row CLEANUP(buf_fini);

	buf_init(&row, 65536);
	if (!tls_seen_read(w, &seen))
		return false;
	tls_row_put(&row, &seen.row);
	return note(s, REPORT_TLS, seen.domain, seen.record, buf_str(&row));
}

/* smtpd waits for no DNS: it has its answer first. */
static bool tell_failed(struct ipc_session *s, struct wire *w)
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

	return (frame->type == IPC_DMARC_SEEN && note_dmarc(s, &w)) ||
	       (frame->type == IPC_DMARC_FAILED && tell_failed(s, &w)) ||
	       (frame->type == IPC_TLS_SEEN && note_tls(s, &w));
}

/* ---- the reports ---- */

/* Takes one out that is due; domain absent: there is none. */
static bool take_due(struct report_role *r, int kind, struct arena *a,
	struct counted_due *due, struct counted_row **rows, size_t *n,
	struct fault *f)
{
	struct counted *c = r->counts[kind];

	pthread_mutex_lock(&r->lock);
	bool ok = counted_commit(c, f) &&
		  counted_find_due(c, period_of(r, clock_unix()), a, due, f) &&
		  (!str_present(due->domain) ||
			  counted_rows(c, due, ROWS_MAX, a, rows, n, f));
	pthread_mutex_unlock(&r->lock);
	return ok;
}

static bool forget(struct report_role *r, int kind,
	const struct counted_due *due, struct fault *f)
{
	pthread_mutex_lock(&r->lock);
	bool ok = counted_done(r->counts[kind], due, f);
	pthread_mutex_unlock(&r->lock);
	return ok;
}

/* One report, behind *due; false: nothing more is due.  One that fails is tried
 * again later, and the next domain does not wait for it. */
static bool one(struct report_role *r, int kind, struct arena *a,
	struct counted_due *due, int64_t *wait_ms)
{
	struct counted_row *rows = NULL;
	size_t n = 0;
	struct fault f;
	bool taken = take_due(r, kind, a, due, &rows, &n, &f);

	if (taken && !str_present(due->domain))
		return false;
	bool ok = taken && kinds[kind].make(r, due, rows, n, a, &f);
	bool old = taken &&
		   due->period + KEEP_PERIODS < period_of(r, clock_unix());
	if (ok || old)
		ok = forget(r, kind, due, &f);
	if (!ok) {
		log_warn("report not sent", log_z("kind", kinds[kind].name),
			log_s("domain", due->domain), log_fault(&f));
		*wait_ms = RETRY_MS;
	}
	return taken;
}

static void all_of(struct report_role *r, int kind, int64_t *wait_ms)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct counted_due due = {0};
	bool more = true;

	while (more) {
		struct arena *own CLEANUP(arena_freep) = arena_new(SIZE_MAX);

		more = one(r, kind, own, &due, wait_ms);
		/* Where to go on outlives what was made. */
		if (more)
			due.domain = arena_str(a, due.domain);
	}
}

static void commit_all(struct report_role *r)
{
	struct fault f;

	for (int kind = 0; kind < REPORT_KINDS; kind++)
		if (!counted_commit(r->counts[kind], &f))
			log_error("reports", log_fault(&f));
}

static void *work(void *ctx)
{
	static const struct timespec pause = {.tv_sec = COMMIT_MS / 1000};
	struct report_role *r = ctx;

	for (;;) {
		int64_t wait_ms = COMMIT_MS;

		for (int kind = 0; kind < REPORT_KINDS; kind++)
			all_of(r, kind, &wait_ms);
		for (int64_t slept = 0; slept < wait_ms; slept += COMMIT_MS) {
			nanosleep(&pause, NULL);
			pthread_mutex_lock(&r->lock);
			commit_all(r);
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
	for (int kind = 0; kind < REPORT_KINDS; kind++) {
		r->counts[kind] = counted_open(
			arena_cstr(role->a, role->conf->data_directory),
			kinds[kind].name, &f);
		if (r->counts[kind] == NULL)
			role_die(role, &f);
	}
	role_sandbox(role, true);
	role->crew = crew_new(4);
	ipc_serve(role->crew, role->ipc_fd, &handlers, r);
	must(pthread_create(&thread, NULL, work, r) == 0);
	int rc = role_run(role, 500);
	pthread_mutex_lock(&r->lock);
	commit_all(r);
	return rc; /* the process ends with the lock held */
}
