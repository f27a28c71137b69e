/* SPDX-License-Identifier: ISC */
/* Active messages: into memory, routed, lined up, or parked where their line
 * has no room. */
#include <stdlib.h>

#include "base/must.h"
#include "codec/smtp/reply.h"
#include "role/queue/sched_private.h"
#include "sys/clock.h"

enum { BLOCKED_S = 300, OVERDUE_S = 3600, UNREADABLE_S = 60 };

/* ---- into memory ---- */

struct message *active_new(const struct envelope *env)
{
	struct message *m = must_alloc(sizeof(*m));
	struct buf b CLEANUP(buf_fini);

	buf_init(&b, IPC_PAYLOAD_MAX);
	envelope_put(&b, env);
	m->a = arena_new(SIZE_MAX);
	struct wire w = {.rest = arena_str(m->a, buf_str(&b))};
	must(envelope_read(&w, m->a, &m->env));
	m->items = must_alloc((env->n_rcpts + 1) * sizeof(*m->items));
	for (uint32_t i = 0; i < env->n_rcpts; i++)
		m->items[i] = (struct item){
			.m = m, .n = i, .due = envelope_release(env)};
	m->leased = 1;
	m->text.fd = -1;
	return m;
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

static void take_states(
	const struct sched *s, struct message *m, const struct rcpt_state *v)
{
	for (uint32_t i = 0; i < m->env.n_rcpts; i++) {
		struct item *it = &m->items[i];

		it->state = v[i].status == RCPT_DONE ? ITEM_DONE : ITEM_WAITING;
		it->due = v[i].due;
		it->attempts = v[i].attempts;
		if (it->attempts > 0)
			it->tried = tried_at(s, &m->env, it->due);
		if (str_present(v[i].reason))
			it->reason = str_heap(v[i].reason);
		if (m->at_once)
			it->due = 0;
	}
}

/* The bytes stay; only nobody tries to read them again. */
static void set_aside(struct sched *s, uint64_t id)
{
	char text[ID_TEXT];
	size_t changed;
	struct fault f;

	id_text(id, text);
	log_error("corrupt queue record is set aside", log_z("queue_id", text));
	if (!queue_set_mark(s->queue, &id, 1, QUEUE_CORRUPT, &changed, &f))
		log_error("queue not written", log_fault(&f));
}

struct message *active_load(struct sched *s, const struct calendar_entry *e)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct queue_record r;
	struct fault f;
	enum queue_found found = queue_get(s->queue, e->id, a, &r, &f);

	if (found == QUEUE_FAULT) {
		log_error("queue not read", log_fault(&f));
		pthread_mutex_lock(&s->lock);
		calendar_set(s->calendar, e->id, clock_unix() + UNREADABLE_S,
			e->flags);
		pthread_mutex_unlock(&s->lock);
		return NULL;
	}
	if (found == QUEUE_FOUND && r.mark == QUEUE_CORRUPT)
		set_aside(s, e->id);
	if (found == QUEUE_NONE || r.mark == QUEUE_CORRUPT ||
		r.mark == QUEUE_HELD)
		return NULL;
	struct message *m = active_new(&r.env);
	m->expired = r.mark == QUEUE_GIVEN_UP;
	/* What its sender wants later is not late. */
	m->at_once = (e->flags & CALENDAR_NOW) != 0 &&
		     r.env.hold_until <= clock_unix();
	take_states(s, m, r.v);
	return m;
}

/* ---- routes ---- */

/* What becomes of one recipient that is due. */
struct plan {
	uint32_t n;
	bool ends; /* here and now: */
	struct outcome_of o;
	struct route route;
};

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

/* No lock is held: tables may be far away. */
static void make_plan(struct sched *s, const struct message *m, struct plan *p,
	struct arena *a)
{
	const struct envelope *env = &m->env;
	struct fault f;

	p->o = (struct outcome_of){.n = p->n, .subject = 3};
	if (str_present(env->filter)) {
		/* It goes to the filter first, whoever it is for. */
		p->route = policy_filter_route(s->policy, env->filter);
		p->route.by = arena_printf(a, "%s %.*s",
			str_eq(env->filter, s->policy->c->content_filter)
				? "content_filter"
				: "FILTER or mailbox_transport",
			STR_ARG(env->filter));
	} else if (!policy_route(is_probe(m) ? s->probe_policy : s->policy,
			   env->sender, env->rcpts[p->n].address, a, &p->route,
			   &f)) {
		p->ends = true;
		p->o.kind = DEFERRED;
		p->o.text = arena_str(a, str_from(f.text));
		return;
	} else if (is_probe(m) &&
		   dest_kind(s, p->route.transport) == AGENT_MAILBOX) {
		/* Who asked has looked our own users up. */
		p->ends = true;
		p->o.kind = DELIVERED;
		p->o.text = STR("ours");
		return;
	}
	if (!m->at_once && !is_probe(m) &&
		policy_defers(s->policy, p->route.transport)) {
		p->ends = true;
		p->o.kind = DEFERRED;
		p->o.detail = 2;
		p->o.text = STR("deferred transport");
		return;
	}
	p->ends = internal_transport(&p->route, &p->o);
}

/* RFC 2852 4.2: the time of mode R has run out; or a person has given it up. */
static bool too_late(
	const struct sched *s, const struct message *m, int64_t now)
{
	const struct envelope *env = &m->env;

	/* With soft_bounce nothing ends: it would be late again at once. */
	return m->expired ||
	       (!s->role->conf->soft_bounce && env->deliver_by > 0 &&
		       (env->flags & ENV_BY_RETURN) != 0 &&
		       now >= env->deliver_by);
}

static struct outcome_of expire(const struct message *m, uint32_t n)
{
	return (struct outcome_of){.n = n,
		.kind = BOUNCED,
		.subject = 4,
		.detail = 7,
		.text = m->expired ? STR("given up by the administrator")
				   : STR("not delivered by the time that was "
					 "asked for (DELIVERBY)")};
}

/* ---- lines ---- */

struct scheduling {
	struct sched *s;
	struct message *m;
	struct arena *a;
	int64_t now;
	struct plan *plans;
	uint32_t n_plans;
	struct outcomes ready; /* that need no agent */
	struct line *blocked; /* the first without room */
};

/* Lock held.  Those that are too late have their end; the others that are due
 * get a plan. */
static void look(struct scheduling *x)
{
	struct message *m = x->m;
	bool late = too_late(x->s, m, x->now);

	if (m->hold || m->removed || m->ending)
		return;
	for (uint32_t i = 0; i < m->env.n_rcpts; i++) {
		struct item *it = &m->items[i];

		if (late && it->state == ITEM_LINED) {
			struct line *l = it->line;

			line_leave(x->s, it);
			line_drop(x->s, l);
		}
		if (it->state != ITEM_WAITING)
			continue;
		if (late) {
			it->state = ITEM_LEASED;
			x->ready.v[x->ready.n++] = expire(m, i);
		} else if (it->due <= x->now) {
			x->plans[x->n_plans++] = (struct plan){.n = i};
		}
	}
}

/* It cannot be tried now, and its time has come: as if it had been. */
static bool suspended(struct scheduling *x, struct line *l, struct plan *p)
{
	const struct site *site = l->dest->site;

	if (is_probe(x->m) || !dest_is_closed(l->dest, x->now) ||
		finish_event(x->s, x->m) > x->now)
		return false;
	p->o = (struct outcome_of){.n = p->n,
		.kind = DEFERRED,
		.subject = 4,
		.detail = 1,
		.text = arena_printf(x->a, "not tried: %s does not answer: %s",
			arena_cstr(x->a, l->dest->nexthop),
			site->last != NULL ? site->last : "")};
	return true;
}

/* Lock held. */
static void place(struct scheduling *x, struct plan *p)
{
	struct message *m = x->m;
	struct item *it = &m->items[p->n];

	if (it->state != ITEM_WAITING)
		return;
	if (!str_eq(it->route, p->route.by))
		it->route = arena_str(m->a, p->route.by);
	if (!p->ends) {
		struct line *l = line_get(x->s,
			dest_get(x->s, p->route.transport, p->route.nexthop),
			m->env.sender);

		if (is_probe(m) || l->admitted == m || line_room(l) > 0) {
			l->admitted = m;
			line_up(x->s, l, it);
			return;
		}
		if (!suspended(x, l, p)) {
			int64_t opens = dest_opens(l->dest);

			it->due = opens > x->now ? opens : x->now + BLOCKED_S;
			if (x->blocked == NULL)
				x->blocked = l;
			else if (x->blocked != l)
				line_drop(x->s, l);
			return;
		}
		if (x->blocked != l)
			line_drop(x->s, l);
	}
	it->state = ITEM_LEASED;
	x->ready.v[x->ready.n++] = p->o;
}

/* Nobody has anything of it in hand: it waits on disk, and the line knows.  The
 * line may hold its id from before: the second time it is found to be gone. */
static void park(struct sched *s, struct message *m, struct line *l)
{
	int64_t event = finish_event(s, m), now = clock_unix();

	/* What is overdue is tried in its turn, not looked at again and again;
	 * behind a server that does not answer its end is due. */
	if (event <= now && !dest_is_closed(l->dest, now)) {
		event = now + OVERDUE_S;
		l->overdue = true;
	}
	line_park(l, m->env.id);
	calendar_set(s->calendar, m->env.id, event,
		CALENDAR_PARKED | (m->at_once ? CALENDAR_NOW : 0u));
	sched_wake(s, event);
	/* A site that opens by its time is looked at then. */
	dest_put(s, l->dest);
	sched_forget(s, m);
}

/* Now that nobody is tried there, their end is due. */
static void look_at_overdue(struct sched *s, struct line *l)
{
	int64_t now = clock_unix();

	for (size_t i = 0; i < l->n_parked && l->overdue; i++) {
		uint64_t id = l->parked[l->parked_from + i];
		const struct calendar_entry *e = calendar_get(s->calendar, id);

		if (e != NULL && (e->flags & CALENDAR_PARKED) != 0 &&
			e->due <= now + OVERDUE_S)
			calendar_set(s->calendar, id, now, e->flags);
	}
	if (l->overdue)
		sched_wake(s, now);
	l->overdue = false;
}

static void withdraw_line(struct sched *s, struct line *l)
{
	look_at_overdue(s, l);
	for (struct item *it = l->first, *next; it != NULL; it = next) {
		struct message *m = it->m;

		next = it->next;
		if (is_probe(m))
			continue;
		line_leave(s, it);
		it->due = dest_opens(l->dest);
		/* The other recipients of the message may be next in line. */
		if (next != NULL && next->m == m)
			continue;
		if (m->leased == 0 && m->lined == 0)
			park(s, m, l);
		else
			sched_rest(s, m);
	}
}

void active_withdraw(struct sched *s, struct dest *d)
{
	size_t n = 0;
	struct line *l = d->turn;

	if (l == NULL)
		return;
	do {
		withdraw_line(s, l);
		l = l->next;
		n++;
	} while (l != d->turn);
	for (struct line *next; n > 0; n--, l = next) {
		next = l->next;
		line_drop(s, l); /* the last one takes d with it */
	}
}

bool active_is_done(const struct message *m)
{
	for (uint32_t i = 0; i < m->env.n_rcpts; i++)
		if (m->items[i].state != ITEM_DONE)
			return false;
	return true;
}

static void schedule(struct sched *s, struct message *m, bool fresh)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct scheduling x = {.s = s, .m = m, .a = a, .now = clock_unix()};

	x.plans = arena_alloc(a, (m->env.n_rcpts + 1) * sizeof(*x.plans));
	x.ready.v =
		arena_alloc(a, (2 * m->env.n_rcpts + 1) * sizeof(*x.ready.v));
	if (!fresh)
		pthread_mutex_lock(&s->lock);
	look(&x);
	if (!fresh)
		pthread_mutex_unlock(&s->lock);
	for (uint32_t i = 0; i < x.n_plans; i++)
		make_plan(s, m, &x.plans[i], a);
	pthread_mutex_lock(&s->lock);
	if (fresh)
		sched_enter(s, m);
	bool go = !m->hold && !m->removed;
	for (uint32_t i = 0; i < x.n_plans && go; i++)
		place(&x, &x.plans[i]);
	bool mine = x.ready.n == 0 && m->lined == 0 && m->leased == 1;
	bool over = mine && !is_probe(m) && !m->ending &&
		    (m->removed || active_is_done(m));
	if (mine && go && x.blocked != NULL) {
		m->leased--;
		park(s, m, x.blocked);
	} else {
		if (x.blocked != NULL)
			line_drop(s, x.blocked);
		if (x.ready.n == 0 && !over) {
			m->leased--;
			sched_rest(s, m);
		}
	}
	jobs_dispatch(s);
	pthread_mutex_unlock(&s->lock);
	if (x.ready.n > 0 || over)
		sched_finish(s, m, &x.ready, STR(""));
}

void active_schedule(struct sched *s, struct message *m)
{
	schedule(s, m, false);
}

void active_begin(struct sched *s, struct message *m)
{
	schedule(s, m, true);
}
