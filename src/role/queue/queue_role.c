/* SPDX-License-Identifier: ISC */
/* The queue role: owns queue.db, answers smtpd, the agents and people. */
#include "base/must.h"
#include "codec/mail/charset.h"
#include "conf/bounce_texts.h"
#include "role/queue/sched.h"
#include "role/queue/showq.h"
#include "role/queue/status_filter.h"
#include "role/queue/verify.h"
#include "sys/clock.h"

/* A reload waits so long for what agents have in hand. */
enum { END_WAIT_S = 10 };
/* Who is not root takes no more of us than this. */
enum {
	PUBLIC_FRAME_MAX = 65536,
	PUBLIC_SESSIONS_MAX = 64,
	PUBLIC_QUIET_S = 30
};

struct queue_role {
	struct role *role;
	struct queue *queue;
	struct sched *sched;
	struct verify *verify;
	struct showq *showq; /* NULL: none */
};

static bool put(struct ipc_session *s, struct ipc_frame *frame)
{
	struct queue_role *q = s->role_ctx;
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct wire w = {.rest = buf_str(&frame->payload)};
	struct text text CLEANUP(text_fini) = {.fd = -1};
	struct envelope env;
	struct fault f;

	if (!envelope_read(&w, a, &env) || !text_read(&w, frame, &text) ||
		env.n_rcpts == 0)
		return false;
	if (!queue_put(q->queue, &env, &text, &f)) {
		log_error("queue not written", log_fault(&f));
		return ipc_answer_fault(s, &f);
	}
	bool ok = ipc_answer(s, IPC_OK, STR_NONE, -1);
	sched_add(q->sched, &env, text.bytes);
	return ok;
}

static bool answer_text(struct ipc_session *s, const struct text *text)
{
	struct buf b CLEANUP(buf_fini);

	buf_init(&b, IPC_PAYLOAD_MAX);
	text_put(&b, text);
	return ipc_answer(s, IPC_OK, buf_str(&b), text->fd);
}

static bool job_body(struct ipc_session *s)
{
	struct text text CLEANUP(text_fini) = {.fd = -1};
	struct queue_role *q = s->role_ctx;
	uint64_t id = sched_agent_job(q->sched, s);
	struct fault f;

	if (id == 0)
		return false;
	if (!queue_text(q->queue, id, &text, &f))
		return ipc_answer_fault(s, &f);
	return answer_text(s, &text);
}

static bool job_done(struct ipc_session *s, struct wire *w)
{
	struct queue_role *q = s->role_ctx;
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct outcomes o;

	if (!outcomes_read(w, a, &o))
		return false;
	sched_agent_done(q->sched, s, &o);
	__atomic_add_fetch(&q->role->slot->served, 1, __ATOMIC_RELAXED);
	return true;
}

static bool send_row(struct str json, void *ctx)
{
	struct buf b CLEANUP(buf_fini);

	buf_init(&b, IPC_PAYLOAD_MAX);
	wire_put_str(&b, json);
	return buf_over(&b) || ipc_answer(ctx, IPC_MORE, buf_str(&b), -1);
}

static bool show(struct ipc_session *s, struct wire *w)
{
	struct text text CLEANUP(text_fini) = {.fd = -1};
	struct queue_role *q = s->role_ctx;
	struct fault f;
	uint64_t id;

	if (!id_parse(wire_str(w), &id)) {
		fault_set(&f, FAULT_PERM, 550, 5, 4, "not a queue id");
		return ipc_answer_fault(s, &f);
	}
	return queue_text(q->queue, id, &text, &f) ? answer_text(s, &text)
						   : ipc_answer_fault(s, &f);
}

static bool list(struct ipc_session *s, struct wire *w)
{
	struct queue_role *q = s->role_ctx;
	struct queue_request r;
	struct fault f;

	if (!queue_request_read(w, &r))
		return false;
	return sched_list(q->sched, &r, send_row, s, &f)
		       ? ipc_answer(s, IPC_OK, STR_NONE, -1)
		       : ipc_answer_fault(s, &f);
}

static bool act(struct ipc_session *s, struct wire *w)
{
	struct queue_role *q = s->role_ctx;
	struct buf b CLEANUP(buf_fini);
	struct queue_request r;
	uint64_t n, busy;
	struct fault f;

	if (!queue_request_read(w, &r))
		return false;
	if (!sched_act(q->sched, &r, &n, &busy, &f))
		return ipc_answer_fault(s, &f);
	buf_init(&b, 32);
	wire_put_u64(&b, n);
	wire_put_u64(&b, busy);
	return ipc_answer(s, IPC_OK, buf_str(&b), -1);
}

static bool flush_site(struct ipc_session *s, struct wire *w)
{
	struct queue_role *q = s->role_ctx;
	struct buf b CLEANUP(buf_fini);
	struct str site = wire_str(w);

	if (!wire_ok(w))
		return false;
	buf_init(&b, 16);
	wire_put_u64(&b, sched_flush_site(q->sched, site));
	return ipc_answer(s, IPC_OK, buf_str(&b), -1);
}

static bool verify(struct ipc_session *s, struct wire *w)
{
	struct queue_role *q = s->role_ctx;
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct buf b CLEANUP(buf_fini);
	struct str address = wire_str(w), text;
	uint32_t wait_ms = wire_u32(w);

	if (!wire_ok(w))
		return false;
	enum verify_status status =
		verify_ask(q->verify, address, wait_ms, a, &text);
	buf_init(&b, 8192);
	wire_put_u8(&b, (uint8_t)status);
	wire_put_str(&b, str_sub(text, 0, 1000));
	return ipc_answer(s, IPC_OK, buf_str(&b), -1);
}

static void probed(struct str address, const struct outcome_of *o, void *ctx)
{
	struct queue_role *q = ctx;

	verify_done(q->verify, address, o);
}

static bool handle(struct ipc_session *s, struct ipc_frame *frame)
{
	struct queue_role *q = s->role_ctx;
	struct wire w = {.rest = buf_str(&frame->payload)};

	if (frame->type == IPC_QUEUE_PUT)
		return put(s, frame);
	if (frame->type == IPC_JOB_NEXT) {
		sched_agent_wait(q->sched, s,
			wire_u8(&w) == AGENT_MAILBOX ? AGENT_MAILBOX
						     : AGENT_SENDER);
		return true;
	}
	if (frame->type == IPC_JOB_BODY)
		return job_body(s);
	if (frame->type == IPC_JOB_DONE)
		return job_done(s, &w);
	if (frame->type == IPC_QUEUE_LIST)
		return list(s, &w);
	if (frame->type == IPC_QUEUE_SITES) {
		sched_sites(q->sched, send_row, s);
		return ipc_answer(s, IPC_OK, STR_NONE, -1);
	}
	if (frame->type == IPC_QUEUE_SHOW)
		return show(s, &w);
	if (frame->type == IPC_VERIFY)
		return verify(s, &w);
	if (frame->type == IPC_QUEUE_FLUSH_SITE)
		return flush_site(s, &w);
	return frame->type == IPC_QUEUE_ACT && act(s, &w);
}

/* Anybody on this machine. */
static bool handle_public(struct ipc_session *s, struct ipc_frame *frame)
{
	const struct queue_role *q = s->role_ctx;
	struct fault f;

	return showq_may(q->showq, s->seat.fd, frame, &f)
		       ? handle(s, frame)
		       : ipc_answer_fault(s, &f);
}

static void closed(struct ipc_session *s)
{
	struct queue_role *q = s->role_ctx;

	sched_agent_gone(q->sched, s);
}

/* postern check has refused what is wrong in the file; who runs it may read
 * more than we may.  Without it our own words do. */
static const struct bounce_template *load_bounces(struct role *r)
{
	struct problems p = {.a = r->a};
	struct bounce_template *all =
		arena_alloc(r->a, BOUNCE_KINDS * sizeof(*all));

	charset_prepare();
	bounce_texts_load(r->conf, &p, all);
	for (size_t i = 0; i < p.n; i++)
		log_error("bounce templates", log_s("file", p.v[i].file),
			log_n("line", p.v[i].line),
			log_s("reason", p.v[i].what));
	return all;
}

int role_queue(struct role *r)
{
	static const struct ipc_handlers handlers = {
		.frame = handle, .closed = closed};
	static const struct ipc_handlers for_all = {.frame = handle_public,
		.frame_max = PUBLIC_FRAME_MAX,
		.sessions_max = PUBLIC_SESSIONS_MAX,
		.quiet_s = PUBLIC_QUIET_S};
	struct queue_role *q = must_alloc(sizeof(*q));
	struct problems ignored = {.a = r->a};
	const struct conf *c = r->conf;
	const struct str lists[] = {c->transport_maps, c->mydestination,
		c->relay_domains, c->virtual_alias_domains,
		c->virtual_mailbox_domains, c->virtual_mailbox_maps,
		c->sender_dependent_relayhost_maps,
		c->sender_dependent_default_transport_maps,
		c->virtual_alias_maps, c->address_verify_transport_maps,
		c->address_verify_sender_dependent_relayhost_maps,
		c->address_verify_sender_dependent_default_transport_maps};
	struct fault f;

	q->role = r;
	struct policy *p = policy_new(c, r->tables, NULL, &ignored);
	struct policy *probes = policy_for_probes(p);
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		role_may_read_tables(r, lists[i]);
	struct str dir =
		arena_printf(r->a, "%.*s/queue", STR_ARG(c->queue_directory));
	role_may_write(r, dir);
	/* Nameless files of smtpd are linked from there. */
	role_may_write(
		r, arena_printf(r->a, "%.*s/tmp", STR_ARG(c->queue_directory)));
	q->showq = showq_new(r);
	struct status_filters *filters = status_filters_new(r);
	const struct bounce_template *bounces = load_bounces(r);
	/* Before the first thread: a sandbox holds the threads born in it. */
	role_sandbox(r, false);
	q->queue = queue_open(dir.ptr, &f);
	if (q->queue == NULL)
		role_die(r, &f);
	q->sched = sched_new(r, q->queue, p, probes, filters, bounces);
	q->verify = verify_new(r, q->sched, dir.ptr, &f);
	if (q->verify == NULL)
		role_die(r, &f);
	sched_on_probe(q->sched, probed, q);
	r->crew = crew_new(128);
	if (!sched_start(q->sched, dir.ptr, &f))
		role_die(r, &f);
	ipc_serve(r->crew, r->ipc_fd, &handlers, q);
	if (q->showq != NULL)
		showq_serve(q->showq, &for_all, q);
	int rc = role_wait(r, 500);
	sched_end(q->sched, END_WAIT_S);
	role_end(r);
	sched_keep(q->sched);
	return rc;
}
