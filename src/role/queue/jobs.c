/* SPDX-License-Identifier: ISC */
/* Agents: who takes a job, and what comes back. */
#include <stdlib.h>

#include "base/must.h"
#include "role/queue/sched_private.h"
#include "sys/clock.h"

enum {
	FORGOTTEN_S = 60, /* what an agent did not mention is tried again */
	PATIENCE_S = 2,
};

/* ---- giving out ---- */

/* The first message of a line, with its other recipients there. */
static void take_job(struct sched *s, struct agent *agent, struct dest *d)
{
	struct line *l = line_next(d);
	struct message *m = l->first->m;
	/* With VERP each recipient has a sender of its own. */
	uint32_t limit =
		str_present(m->env.verp) ? 1 : (uint32_t)d->recipient_limit;

	agent->pick = must_alloc((m->env.n_rcpts + 1) * sizeof(*agent->pick));
	agent->n_pick = 0;
	for (uint32_t i = 0; i < m->env.n_rcpts; i++) {
		struct item *it = &m->items[i];

		if (it->state != ITEM_LINED || it->line != l ||
			(limit > 0 && agent->n_pick >= limit))
			continue;
		line_leave(s, it);
		it->state = ITEM_LEASED;
		agent->pick[agent->n_pick++] = i;
	}
	agent->job = m;
	agent->dest = d;
	agent->pool = dest_pool(d);
	agent->waiting = false;
	m->leased++;
	s->in_hand++;
	if (d->kind == AGENT_SENDER)
		source_take(s, d, m, agent->source);
	dest_started(s, d, clock_unix());
	line_drop(s, l);
}

static int64_t pool_limit(const struct sched *s, enum pool pool)
{
	const struct conf *c = s->role->conf;

	return pool == POOL_MAILBOX  ? INT64_MAX
	       : pool == POOL_SENDER ? c->default_process_limit
				     : c->smtp_unanswered_limit;
}

/* Where many wait for servers that say nothing, nobody waits long for one that
 * has not answered yet: each failure in a row doubles it. */
static uint32_t patience(const struct sched *s, const struct agent *agent)
{
	unsigned failures = agent->dest->site->failures;
	int64_t limit = pool_limit(s, POOL_UNANSWERED);

	if (agent->pool != POOL_UNANSWERED ||
		s->in_flight[POOL_UNANSWERED] <= limit / 4)
		return 0;
	return (uint32_t)PATIENCE_S << (failures < 6 ? failures : 6);
}

static bool send_job(const struct sched *s, struct agent *agent)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct buf b CLEANUP(buf_fini);
	struct job job = {.env = agent->job->env,
		.pick = agent->pick,
		.n_pick = agent->n_pick,
		.transport = agent->dest->transport,
		.nexthop = agent->dest->nexthop,
		.more = agent->dest->n > 0,
		.patience = patience(s, agent),
		.text = agent->job->text.bytes};

	for (int six = 0; six < 2; six++)
		if (agent->source[six] != NULL) {
			job.source[six] = agent->source[six]->address;
			job.helo[six] = agent->source[six]->helo;
		}
	job.env.sender =
		envelope_sender(&job.env, &job.env.rcpts[agent->pick[0]], a);
	job.env.verp = STR_NONE;
	buf_init(&b, IPC_PAYLOAD_MAX);
	job_put(&b, &job);
	return ipc_answer(agent->session, IPC_JOB, buf_str(&b), -1);
}

static void dispatch_pool(struct sched *s, enum pool pool)
{
	enum agent_kind kind =
		pool == POOL_MAILBOX ? AGENT_MAILBOX : AGENT_SENDER;
	int64_t limit = pool_limit(s, pool), now = clock_unix();
	struct dest *d;

	while ((d = s->ready[pool].first) != NULL && s->waiting[kind] != NULL &&
		s->in_flight[pool] < limit) {
		if (d->n == 0 || dest_is_full(d) || dest_opens(d) > now) {
			dest_put(s, d);
			continue;
		}
		struct agent *agent = s->waiting[kind];

		s->waiting[kind] = agent->next_waiting;
		take_job(s, agent, d);
		dest_put(s, d); /* behind the others */
		send_job(s, agent); /* a dead agent is seen by its end */
	}
}

void jobs_dispatch(struct sched *s)
{
	for (int pool = 0; pool < POOLS && !s->ending; pool++)
		dispatch_pool(s, (enum pool)pool);
}

/* ---- agents ---- */

static struct agent *agent_get(struct ipc_session *session)
{
	struct agent *a = session->own;

	if (a == NULL) {
		a = must_alloc(sizeof(*a));
		a->session = session;
		session->own = a;
	}
	return a;
}

static void wait_for_job(struct sched *s, struct agent *a)
{
	a->waiting = true;
	a->next_waiting = s->waiting[a->kind];
	s->waiting[a->kind] = a;
}

void sched_agent_wait(
	struct sched *s, struct ipc_session *session, enum agent_kind kind)
{
	pthread_mutex_lock(&s->lock);
	struct agent *a = agent_get(session);
	a->kind = kind;
	if (a->job == NULL && !a->waiting)
		wait_for_job(s, a);
	jobs_dispatch(s);
	pthread_mutex_unlock(&s->lock);
}

uint64_t sched_agent_job(struct sched *s, struct ipc_session *session)
{
	struct agent *a = session->own;
	uint64_t id = 0;

	pthread_mutex_lock(&s->lock);
	if (a != NULL && a->job != NULL)
		id = a->job->env.id;
	pthread_mutex_unlock(&s->lock);
	return id;
}

/* The job leaves the agent; what it holds stays leased until finished. */
static struct message *release_job(
	struct sched *s, struct agent *a, struct str source)
{
	struct message *m = a->job;
	struct dest *d = a->dest;

	source_used(s, a->source, source);
	a->source[0] = a->source[1] = NULL;

	a->job = NULL;
	a->dest = NULL;
	free(a->pick);
	a->pick = NULL;
	dest_ended(s, d, a->pool);
	return m;
}

/* Its outcome is taken; what is written of it counts for itself. */
static void out_of_hand(struct sched *s)
{
	pthread_mutex_lock(&s->lock);
	s->in_hand--;
	sched_calmed(s);
	pthread_mutex_unlock(&s->lock);
}

/* Only what was given out can come back, each once. */
static void take_back(
	struct agent *a, const struct outcomes *o, struct outcomes *mine)
{
	for (uint32_t i = 0; i < o->n; i++)
		for (uint32_t j = 0; j < a->n_pick; j++)
			if (a->pick[j] == o->v[i].n) {
				mine->v[mine->n++] = o->v[i];
				a->pick[j] = UINT32_MAX;
				break;
			}
}

static void wait_again(struct agent *a, int64_t due)
{
	for (uint32_t j = 0; j < a->n_pick; j++)
		if (a->pick[j] != UINT32_MAX) {
			struct item *it = &a->job->items[a->pick[j]];

			it->state = ITEM_WAITING;
			it->due = due;
		}
}

void sched_agent_done(
	struct sched *s, struct ipc_session *session, const struct outcomes *o)
{
	struct arena *mem CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct agent *a = session->own;
	struct outcomes mine = {
		.v = o->v, .site_failed = o->site_failed, .site = o->site};

	pthread_mutex_lock(&s->lock);
	if (a == NULL || a->job == NULL) {
		pthread_mutex_unlock(&s->lock);
		return;
	}
	take_back(a, o, &mine);
	wait_again(a, clock_unix() + FORGOTTEN_S);
	site_learn(s, a->dest, &mine);
	struct str via = arena_printf(mem, "%.*s:%.*s",
		STR_ARG(a->dest->transport), STR_ARG(a->dest->nexthop));
	struct message *m = release_job(s, a, o->source);
	/* While the end of this one is written it may do the next. */
	wait_for_job(s, a);
	jobs_dispatch(s);
	pthread_mutex_unlock(&s->lock);
	sched_finish(s, m, &mine, via);
	out_of_hand(s);
}

static void stop_waiting(struct sched *s, struct agent *a)
{
	struct agent **p = &s->waiting[a->kind];

	while (*p != a)
		p = &(*p)->next_waiting;
	*p = a->next_waiting;
}

void sched_agent_gone(struct sched *s, struct ipc_session *session)
{
	struct agent *a = session->own;
	struct outcomes none = {0};
	struct message *m = NULL;

	if (a == NULL)
		return;
	pthread_mutex_lock(&s->lock);
	if (a->waiting)
		stop_waiting(s, a);
	if (a->job != NULL) {
		wait_again(a, clock_unix());
		m = release_job(s, a, STR_NONE);
	}
	free(a);
	session->own = NULL;
	pthread_mutex_unlock(&s->lock);
	if (m == NULL)
		return;
	sched_finish(s, m, &none, STR(""));
	out_of_hand(s);
}
