/* SPDX-License-Identifier: ISC */
#include "role/queue/sched.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/must.h"
#include "codec/smtp/reply.h"
#include "role/queue/sched_private.h"
#include "sys/clock.h"

enum { FAR = 3600 };

static struct str id_key(const uint64_t *id)
{
	return str_of(id, sizeof(*id));
}

struct message *sched_find(struct sched *s, uint64_t id)
{
	return map_get(s->by_id, id_key(&id));
}

void sched_wake(struct sched *s, int64_t due)
{
	if (s->next_due == 0 || due < s->next_due) {
		s->next_due = due;
		pthread_cond_signal(&s->changed);
	}
}

void sched_forget(struct sched *s, struct message *m)
{
	must(m->leased == 0);
	map_remove(s->by_id, id_key(&m->env.id));
	if (m->prev != NULL)
		m->prev->next = m->next;
	else
		s->first = m->next;
	if (m->next != NULL)
		m->next->prev = m->prev;
	else
		s->last = m->prev;
	s->n_messages--;
	for (uint32_t i = 0; i < m->env.n_rcpts; i++)
		free(m->items[i].reason);
	free(m->items);
	arena_free(m->a);
	free(m);
}

/* ---- routing ---- */

/* error:, retry:, discard: end here and now. */
static bool internal_transport(const struct route *route, struct outcome_of *o)
{
	struct str text = route->nexthop;

	if (str_eqc(route->transport, "discard")) {
		o->kind = DELIVERED;
		o->subject = o->detail = 0;
		o->text = STR("discarded");
		return true;
	}
	bool retry = str_eqc(route->transport, "retry");
	if (!retry && !str_eqc(route->transport, "error"))
		return false;
	int class = 5;
	o->kind = retry ? DEFERRED : BOUNCED;
	if (smtp_enhanced_parse(text, &class, &o->subject, &o->detail)) {
		str_word(&text, " ");
		text = str_trim(text);
		if (class == 4)
			o->kind = DEFERRED;
	}
	o->text = text;
	return true;
}

/* A recipient whose time has come: routed and lined up.  Outcomes that need
 * no agent are collected for the caller. */
static void schedule_item(
	struct sched *s, struct item *it, struct arena *a, struct outcomes *now)
{
	struct message *m = it->m;
	struct outcome_of o = {.n = it->n, .subject = 3, .detail = 0};
	struct route route;
	struct fault f;

	if (str_present(m->env.filter)) {
		/* It goes to the filter first, whoever it is for. */
		route = policy_filter_route(
			m->env.filter, s->policy->c->myhostname);
		if (internal_transport(&route, &o)) {
			it->state = ITEM_LEASED;
			now->v[now->n++] = o;
			return;
		}
		dest_line_up(dest_get(s, route.transport, route.nexthop), it);
		return;
	}
	if (!policy_route(s->policy, m->env.sender, m->env.rcpts[it->n].address,
		    a, &route, &f)) {
		o.kind = DEFERRED;
		o.text = arena_str(a, str_from(f.text));
	} else if (is_probe(m) &&
		   dest_kind(s, route.transport) == AGENT_MAILBOX) {
		/* Who asked has looked our own users up. */
		o.kind = DELIVERED;
		o.text = STR("ours");
	} else if (!internal_transport(&route, &o)) {
		dest_line_up(dest_get(s, route.transport, route.nexthop), it);
		return;
	}
	it->state = ITEM_LEASED;
	now->v[now->n++] = o;
}

/* RFC 2852 4.2: the time of mode R has run out, and nobody has it in hand; or a
 * person has given it up. */
static bool too_late(const struct sched *s, const struct item *it, int64_t now)
{
	const struct envelope *env = &it->m->env;
	bool idle = it->state == ITEM_WAITING || it->state == ITEM_LINED;

	if (it->m->expired)
		return idle;
	/* With soft_bounce nothing ends: it would be late again at once. */
	return idle && !s->role->conf->soft_bounce && env->deliver_by > 0 &&
	       (env->flags & ENV_BY_RETURN) != 0 && now >= env->deliver_by;
}

static struct outcome_of expire(struct item *it)
{
	if (it->state == ITEM_LINED)
		dest_unline(it->dest, it);
	it->state = ITEM_LEASED;
	return (struct outcome_of){.n = it->n,
		.kind = BOUNCED,
		.subject = 4,
		.detail = 7,
		.text = it->m->expired
				? STR("given up by the administrator")
				: STR("not delivered by the time that was "
				      "asked for (DELIVERBY)")};
}

/* Lines up what is due.  The lock is held, and given away while outcomes
 * that need no agent are written. */
static void schedule_message(struct sched *s, struct message *m, int64_t now)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct outcomes ready = {
		.v = arena_alloc(a, m->env.n_rcpts * sizeof(*ready.v))};

	if (m->hold || m->removed || m->ending)
		return;
	for (uint32_t i = 0; i < m->env.n_rcpts; i++) {
		struct item *it = &m->items[i];

		if (too_late(s, it, now)) {
			ready.v[ready.n++] = expire(it);
			continue;
		}
		if (it->state != ITEM_DONE && m->env.deliver_by > now)
			sched_wake(s, m->env.deliver_by);
		if (it->state != ITEM_WAITING)
			continue;
		if (it->due <= now)
			schedule_item(s, it, a, &ready);
		else
			sched_wake(s, it->due);
	}
	if (ready.n == 0)
		return;
	m->leased++;
	pthread_mutex_unlock(&s->lock);
	sched_finish(s, m, &ready);
	pthread_mutex_lock(&s->lock);
}

/* ---- jobs ---- */

/* The first message of the line, with its other recipients there. */
static void take_job(struct agent *agent, struct dest *d)
{
	struct message *m = d->first->m;
	uint32_t limit = (uint32_t)d->recipient_limit;

	agent->pick = must_alloc((m->env.n_rcpts + 1) * sizeof(*agent->pick));
	agent->n_pick = 0;
	for (uint32_t i = 0; i < m->env.n_rcpts; i++) {
		struct item *it = &m->items[i];

		if (it->state != ITEM_LINED || it->dest != d ||
			(limit > 0 && agent->n_pick >= limit))
			continue;
		dest_unline(d, it);
		it->state = ITEM_LEASED;
		agent->pick[agent->n_pick++] = i;
	}
	agent->job = m;
	agent->dest = d;
	agent->waiting = false;
	m->leased++;
}

static bool send_job(struct agent *agent)
{
	struct buf b CLEANUP(buf_fini);
	struct job job = {.env = agent->job->env,
		.pick = agent->pick,
		.n_pick = agent->n_pick,
		.transport = agent->dest->transport,
		.nexthop = agent->dest->nexthop,
		.more = agent->dest->first != NULL};

	buf_init(&b, IPC_PAYLOAD_MAX);
	job_put(&b, &job);
	return ipc_answer(agent->session, IPC_JOB, buf_str(&b), -1);
}

static struct agent *waiting_agent(struct sched *s, enum agent_kind kind)
{
	for (struct agent *a = s->agents; a != NULL; a = a->next)
		if (a->waiting && a->kind == kind)
			return a;
	return NULL;
}

void sched_dispatch(struct sched *s)
{
	int64_t now = clock_unix();

	for (struct dest *d = s->dests; d != NULL; d = d->next) {
		while (dest_may_start(s, d, now)) {
			struct agent *agent = waiting_agent(s, d->kind);

			if (agent == NULL)
				break;
			take_job(agent, d);
			dest_started(s, d, now);
			send_job(agent); /* a dead agent is seen by its end */
		}
		if (d->first != NULL && dest_opens(d) > now)
			sched_wake(s, dest_opens(d));
	}
}

/* ---- agents ---- */

static struct agent *agent_get(struct sched *s, struct ipc_session *session)
{
	struct agent *a = session->own;

	if (a == NULL) {
		a = must_alloc(sizeof(*a));
		a->session = session;
		a->next = s->agents;
		s->agents = a;
		session->own = a;
	}
	return a;
}

void sched_agent_wait(
	struct sched *s, struct ipc_session *session, enum agent_kind kind)
{
	pthread_mutex_lock(&s->lock);
	struct agent *a = agent_get(s, session);
	a->kind = kind;
	a->waiting = a->job == NULL;
	sched_dispatch(s);
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

bool sched_agent_probes(struct sched *s, struct ipc_session *session)
{
	const struct agent *a = session->own;

	pthread_mutex_lock(&s->lock);
	bool probes = a != NULL && a->job != NULL && is_probe(a->job);
	pthread_mutex_unlock(&s->lock);
	return probes;
}

void sched_on_probe(struct sched *s, sched_probe_f *fn, void *ctx)
{
	s->on_probe = fn;
	s->probe_ctx = ctx;
}

/* The job leaves the agent; what it holds stays leased until finished. */
static struct message *release_job(struct sched *s, struct agent *a)
{
	struct message *m = a->job;
	struct dest *d = a->dest;

	a->job = NULL;
	a->dest = NULL;
	free(a->pick);
	a->pick = NULL;
	dest_ended(s, d);
	return m;
}

void sched_agent_done(
	struct sched *s, struct ipc_session *session, const struct outcomes *o)
{
	struct agent *a = session->own;
	struct outcomes mine = {
		.v = o->v, .site_failed = o->site_failed, .site = o->site};

	pthread_mutex_lock(&s->lock);
	if (a == NULL || a->job == NULL) {
		pthread_mutex_unlock(&s->lock);
		return;
	}
	/* Only what was given out can come back, each once. */
	for (uint32_t i = 0; i < o->n; i++)
		for (uint32_t j = 0; j < a->n_pick; j++)
			if (a->pick[j] == o->v[i].n) {
				mine.v[mine.n++] = o->v[i];
				a->pick[j] = UINT32_MAX;
				break;
			}
	/* What the agent forgot is tried again. */
	for (uint32_t j = 0; j < a->n_pick; j++)
		if (a->pick[j] != UINT32_MAX) {
			struct item *it = &a->job->items[a->pick[j]];

			it->state = ITEM_WAITING;
			it->due = clock_unix() + 60;
			sched_wake(s, it->due);
		}
	dest_learn(s, a->dest, &mine);
	struct message *m = release_job(s, a);
	pthread_mutex_unlock(&s->lock);
	sched_finish(s, m, &mine);
	pthread_mutex_lock(&s->lock);
	sched_dispatch(s);
	pthread_mutex_unlock(&s->lock);
}

void sched_agent_gone(struct sched *s, struct ipc_session *session)
{
	struct agent *a = session->own;
	struct outcomes none = {0};
	struct message *m = NULL;

	if (a == NULL)
		return;
	pthread_mutex_lock(&s->lock);
	if (a->job != NULL) {
		for (uint32_t j = 0; j < a->n_pick; j++)
			if (a->pick[j] != UINT32_MAX)
				a->job->items[a->pick[j]].state = ITEM_WAITING;
		m = release_job(s, a);
	}
	struct agent **p = &s->agents;
	while (*p != a)
		p = &(*p)->next;
	*p = a->next;
	free(a);
	session->own = NULL;
	sched_wake(s, clock_unix());
	pthread_mutex_unlock(&s->lock);
	if (m != NULL)
		sched_finish(s, m, &none);
}

/* ---- coming in ---- */

static struct message *message_new(const struct envelope *env)
{
	struct message *m = must_alloc(sizeof(*m));
	struct buf b CLEANUP(buf_fini);

	buf_init(&b, IPC_PAYLOAD_MAX);
	envelope_put(&b, env);
	m->a = arena_new(SIZE_MAX);
	struct wire w = {.rest = arena_str(m->a, buf_str(&b))};
	must(envelope_read(&w, m->a, &m->env));
	m->hold = (env->flags & ENV_HOLD) != 0;
	m->items = must_alloc((env->n_rcpts + 1) * sizeof(*m->items));
	for (uint32_t i = 0; i < env->n_rcpts; i++)
		m->items[i] = (struct item){
			.m = m, .n = i, .due = envelope_release(env)};
	return m;
}

static void append(struct sched *s, struct message *m)
{
	m->prev = s->last;
	if (s->last != NULL)
		s->last->next = m;
	else
		s->first = m;
	s->last = m;
	s->n_messages++;
	map_set(s->by_id, id_key(&m->env.id), m);
}

void sched_add(struct sched *s, const struct envelope *env)
{
	struct message *m = message_new(env);

	pthread_mutex_lock(&s->lock);
	append(s, m);
	schedule_message(s, m, clock_unix());
	sched_dispatch(s);
	pthread_mutex_unlock(&s->lock);
}

/* When the last try was, back from the time of the next: finish.c. */
static int64_t tried_at(
	const struct sched *s, const struct envelope *env, int64_t due)
{
	const struct conf *c = s->role->conf;
	int64_t wait = (due - envelope_release(env)) / 2;

	if (wait < c->minimal_backoff_time)
		wait = c->minimal_backoff_time;
	if (wait > c->maximal_backoff_time)
		wait = c->maximal_backoff_time;
	return due - wait;
}

static void load_one(uint64_t id, const struct envelope *env, bool hold,
	const struct rcpt_state *v, uint32_t n, void *ctx)
{
	struct sched *s = ctx;
	char text[ID_TEXT];

	if (env == NULL) {
		id_text(id, text);
		log_error("corrupt queue record", log_z("queue_id", text));
		return;
	}
	struct message *m = message_new(env);
	m->hold = hold;
	for (uint32_t i = 0; i < n; i++) {
		if (v[i].n >= env->n_rcpts)
			continue;
		struct item *it = &m->items[v[i].n];

		it->state = v[i].status == RCPT_DONE ? ITEM_DONE : ITEM_WAITING;
		it->due = v[i].due;
		it->attempts = v[i].attempts;
		if (it->attempts > 0)
			it->tried = tried_at(s, env, it->due);
		if (str_present(v[i].reason))
			it->reason = str_heap(v[i].reason);
	}
	append(s, m);
}

static void scan(struct sched *s)
{
	int64_t now = clock_unix();

	s->next_due = 0;
	/* The lock is given away in schedule_message: the next message is
	 * found again by its id, which grows along the list. */
	for (struct message *m = s->first; m != NULL;) {
		struct message *next = m->next;
		uint64_t next_id = next != NULL ? next->env.id : 0;

		schedule_message(s, m, now);
		m = next_id != 0 ? sched_find(s, next_id) : NULL;
		if (m == NULL && next_id != 0) {
			sched_wake(s, now + 1);
			break;
		}
	}
	sched_dispatch(s);
}

static void *run_timer(void *arg)
{
	struct sched *s = arg;

	pthread_mutex_lock(&s->lock);
	for (;;) {
		int64_t now = clock_unix();
		struct timespec until = {
			.tv_sec = s->next_due > 0 ? s->next_due : now + FAR};

		if (s->next_due > 0 && s->next_due <= now) {
			scan(s);
			if (s->next_due > 0 && s->next_due <= now)
				s->next_due = now + 1;
			continue;
		}
		pthread_cond_timedwait(&s->changed, &s->lock, &until);
	}
	return NULL;
}

struct sched *sched_new(struct role *r, struct queue *q, struct policy *p)
{
	struct sched *s = must_alloc(sizeof(*s));

	s->role = r;
	s->queue = q;
	s->policy = p;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->changed, NULL);
	s->by_id = map_new();
	s->dest_by_key = map_new();
	s->site_by_name = map_new();
	return s;
}

bool sched_start(struct sched *s, struct fault *f)
{
	if (!queue_each(s->queue, load_one, s, f))
		return false;
	if (s->n_messages > 0)
		log_info("queue loaded",
			log_n("messages", (int64_t)s->n_messages));
	s->next_due = clock_unix();
	must(pthread_create(&s->timer, NULL, run_timer, s) == 0);
	return true;
}
