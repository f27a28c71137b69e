/* SPDX-License-Identifier: ISC */
/*
 * What people do to messages.  Page by page, each in one transaction: what is
 * active and in nobody's hands leaves memory first, so that the disk is all
 * there is of it; what an agent has in hand is told to it when it comes back.
 */
#include <stdlib.h>

#include "base/must.h"
#include "policy/rewrite.h"
#include "role/queue/sched_private.h"
#include "role/queue/select.h"
#include "sys/clock.h"
#include "sys/waiting.h"

enum { PAGE = 1000 };

struct acting {
	struct sched *s;
	const struct queue_request *r;
	struct arena *a;
	struct queue_record *v; /* of this page, those that are meant */
	size_t n;
	uint64_t *ids; /* of those that are changed on disk */
	size_t n_ids;
	uint64_t done, busy;
};

static void leave_lines(struct sched *s, struct message *m)
{
	for (uint32_t i = 0; i < m->env.n_rcpts; i++)
		if (m->items[i].state == ITEM_LINED) {
			struct line *l = m->items[i].line;

			line_leave(s, &m->items[i]);
			line_drop(s, l);
		}
}

/* An agent has it; false: it cannot be changed under its hands. */
static bool tell_later(struct acting *x, struct message *m)
{
	switch (x->r->action) {
	case QUEUE_HOLD:
		m->hold = true;
		leave_lines(x->s, m);
		return true;
	case QUEUE_RELEASE:
		m->hold = false;
		return true;
	case QUEUE_EXPIRE:
		m->expired = true;
		return true;
	case QUEUE_DELETE:
		m->removed = true;
		leave_lines(x->s, m);
		x->done++;
		return false; /* it goes when the agent comes back */
	case QUEUE_FLUSH:
		return true;
	case QUEUE_REQUEUE:
	case QUEUE_REDIRECT:
	case QUEUE_REROUTE:
	case QUEUE_ACTIONS:
		break;
	}
	x->busy++;
	return false;
}

/* False: it stays as it is. */
static bool take_out(struct acting *x, const struct queue_record *rec)
{
	struct sched *s = x->s;
	struct message *m = sched_find(s, rec->id);

	if (m != NULL && m->leased > 0)
		return tell_later(x, m);
	if (m != NULL && x->r->action != QUEUE_FLUSH) {
		leave_lines(s, m);
		sched_forget(s, m);
	}
	if (x->r->action != QUEUE_FLUSH)
		calendar_remove(s->calendar, rec->id);
	return true;
}

/* ---- new envelopes ---- */

static void add_rcpt(struct acting *x, struct envelope *env,
	struct recipient like, struct str address)
{
	struct recipient *v =
		arena_alloc(x->a, (env->n_rcpts + 1) * sizeof(*v));

	for (uint32_t i = 0; i < env->n_rcpts; i++) {
		v[i] = env->rcpts[i];
		if (str_ieq(v[i].address, address))
			return;
	}
	v[env->n_rcpts] = like;
	v[env->n_rcpts++].address = address;
	env->rcpts = v;
}

/* The address as the client said it, through the aliases of today. */
static void expand_again(
	struct acting *x, struct envelope *env, const struct recipient *old)
{
	struct strs found = {0};
	struct fault f;

	if (!rewrite_virtual(x->s->policy, old->original, x->a, &found, &f)) {
		log_warn("aliases not looked up", log_s("to", old->original),
			log_fault(&f));
		add_rcpt(x, env, *old, old->address);
	}
	for (size_t i = 0; i < found.n; i++)
		add_rcpt(x, env, *old, found.v[i]);
}

/* Those who still wait. */
static struct envelope anew(struct acting *x, const struct queue_record *m)
{
	struct envelope env = m->env;

	env.n_rcpts = 0;
	env.rcpts = NULL;
	env.flags &= ~(uint32_t)ENV_HOLD;
	if (x->r->action == QUEUE_REROUTE)
		env.filter = x->r->to;
	for (uint32_t i = 0; i < m->env.n_rcpts; i++) {
		const struct recipient *old = &m->env.rcpts[i];

		if (m->v[i].status == RCPT_DONE)
			continue;
		if (x->r->action == QUEUE_REQUEUE)
			expand_again(x, &env, old);
		else
			add_rcpt(x, &env, *old,
				x->r->action == QUEUE_REDIRECT ? x->r->to
							       : old->address);
	}
	return env;
}

/* Read again: somebody may have got it since the page was read. */
static bool replace(struct acting *x, struct fault *f)
{
	struct envelope *v = arena_alloc(x->a, (x->n_ids + 1) * sizeof(*v));
	size_t n = 0;

	for (size_t i = 0; i < x->n_ids; i++) {
		struct queue_record m;
		enum queue_found found =
			queue_get(x->s->queue, x->ids[i], x->a, &m, f);

		if (found == QUEUE_FAULT)
			return false;
		if (found == QUEUE_NONE || m.mark == QUEUE_CORRUPT)
			continue;
		v[n] = anew(x, &m);
		n += v[n].n_rcpts > 0;
	}
	if (!queue_replace(x->s->queue, v, n, clock_unix(), f))
		return false;
	x->done += n;
	return true;
}

/* ---- one page ---- */

/* Does the action mean it, as it stands? */
static bool concerns(enum queue_action action, const struct queue_record *m)
{
	switch (action) {
	case QUEUE_FLUSH:
		/* What its sender wants later is not late. */
		return (m->mark == QUEUE_GOES || m->mark == QUEUE_GIVEN_UP) &&
		       m->env.hold_until <= clock_unix();
	case QUEUE_HOLD:
		return m->mark == QUEUE_GOES;
	case QUEUE_RELEASE:
		return m->mark == QUEUE_HELD;
	case QUEUE_DELETE:
		return true;
	case QUEUE_EXPIRE:
	case QUEUE_REQUEUE:
	case QUEUE_REDIRECT:
	case QUEUE_REROUTE:
		return m->mark != QUEUE_CORRUPT;
	case QUEUE_ACTIONS:
		break;
	}
	return false;
}

static bool change_disk(struct acting *x, struct fault *f)
{
	static const enum queue_mark marks[] = {[QUEUE_HOLD] = QUEUE_HELD,
		[QUEUE_RELEASE] = QUEUE_GOES,
		[QUEUE_EXPIRE] = QUEUE_GIVEN_UP};
	enum queue_action action = x->r->action;
	size_t changed = 0;
	bool ok = true;

	if (action == QUEUE_FLUSH)
		changed = x->n_ids;
	else if (action == QUEUE_DELETE)
		ok = queue_delete(x->s->queue, x->ids, x->n_ids, &changed, f);
	else if (action <= QUEUE_EXPIRE)
		ok = queue_set_mark(x->s->queue, x->ids, x->n_ids,
			marks[action], &changed, f);
	else
		ok = replace(x, f);
	x->done += changed;
	return ok;
}

/* Lock held: what waits on disk again has its time. */
static void set_times(struct acting *x, bool ok)
{
	int64_t now = clock_unix();
	bool goes = x->r->action != QUEUE_HOLD && x->r->action != QUEUE_DELETE;

	for (size_t i = 0; i < x->n_ids && (goes || !ok); i++)
		calendar_set(x->s->calendar, x->ids[i], now,
			x->r->action == QUEUE_FLUSH ||
					x->r->action == QUEUE_RELEASE
				? CALENDAR_NOW
				: 0);
	sched_wake(x->s, now);
}

static bool act_on_page(struct acting *x, struct fault *f)
{
	x->ids = arena_alloc(x->a, (x->n + 1) * sizeof(*x->ids));
	x->n_ids = 0;
	pthread_mutex_lock(&x->s->lock);
	for (size_t i = 0; i < x->n; i++)
		if (concerns(x->r->action, &x->v[i]) && take_out(x, &x->v[i]))
			x->ids[x->n_ids++] = x->v[i].id;
	pthread_mutex_unlock(&x->s->lock);
	bool ok = x->n_ids == 0 || change_disk(x, f);
	pthread_mutex_lock(&x->s->lock);
	set_times(x, ok);
	pthread_mutex_unlock(&x->s->lock);
	return ok;
}

static void await_load(struct sched *s)
{
	waiting_begin();
	pthread_mutex_lock(&s->lock);
	while (!s->loaded)
		pthread_cond_wait(&s->started, &s->lock);
	pthread_mutex_unlock(&s->lock);
	waiting_end();
}

bool sched_act(struct sched *s, const struct queue_request *r, uint64_t *n_r,
	uint64_t *busy_r, struct fault *f)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct acting x = {.s = s, .r = r, .a = a};
	struct selecting at = {0};
	bool ok = true;

	await_load(s);
	if (r->action == QUEUE_FLUSH) {
		pthread_mutex_lock(&s->lock);
		site_open_all(s);
		pthread_mutex_unlock(&s->lock);
	}
	while (ok && !at.over) {
		pthread_mutex_lock(&s->people);
		ok = select_page(s, r, &at, PAGE, a, &x.v, &x.n, f) &&
		     act_on_page(&x, f);
		pthread_mutex_unlock(&s->people);
		arena_reset(a);
	}
	if (!ok)
		log_error("queue not written", log_fault(f));
	*n_r = x.done;
	*busy_r = x.busy;
	return ok;
}

/* ---- a whole site ---- */

static bool flush_one(
	struct sched *s, const struct queue_record *m, struct str site)
{
	for (uint32_t i = 0; i < m->env.n_rcpts; i++)
		if (m->v[i].status != RCPT_DONE && concerns(QUEUE_FLUSH, m) &&
			select_is_in_domain(m->env.rcpts[i].address, site)) {
			calendar_set(
				s->calendar, m->id, clock_unix(), CALENDAR_NOW);
			return true;
		}
	return false;
}

static void open_sites_of(struct sched *s, struct str domain)
{
	for (struct site *site = s->sites; site != NULL; site = site->next)
		for (struct dest *d = site->dests; d != NULL;
			d = d->next_of_site)
			if (str_ieq(d->nexthop, domain)) {
				site_open(s, site);
				break;
			}
}

uint64_t sched_flush_site(struct sched *s, struct str site)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct queue_request all = {.action = QUEUE_FLUSH};
	struct selecting at = {0};
	struct queue_record *v;
	uint64_t n = 0;
	size_t n_page;
	struct fault f;

	await_load(s);
	while (!at.over) {
		pthread_mutex_lock(&s->people);
		bool ok = select_page(s, &all, &at, PAGE, a, &v, &n_page, &f);
		pthread_mutex_lock(&s->lock);
		for (size_t i = 0; i < n_page && ok; i++)
			n += flush_one(s, &v[i], site);
		pthread_mutex_unlock(&s->lock);
		pthread_mutex_unlock(&s->people);
		arena_reset(a);
		if (!ok)
			break;
	}
	pthread_mutex_lock(&s->lock);
	open_sites_of(s, str_starts(site, "@") ? str_from_at(site, 1) : site);
	sched_wake(s, clock_unix());
	jobs_dispatch(s);
	pthread_mutex_unlock(&s->lock);
	return n;
}
