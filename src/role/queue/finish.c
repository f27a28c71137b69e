/* SPDX-License-Identifier: ISC */
/*
 * After a try: outcomes become states on disk, reports to the sender, and the
 * end of the message.  RFC 3461 5.2 and 6 (who is told), RFC 5321 6.1.
 */
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "codec/mail/date.h"
#include "codec/mail/dsn.h"
#include "codec/smtp/command.h"
#include "role/queue/reports.h"
#include "role/queue/sched_private.h"
#include "role/queue/status_filter.h"
#include "sys/clock.h"

/* Lives until what it says is on disk. */
struct finish {
	struct queue_update update; /* first: done gets it back */
	struct sched *s;
	struct message *m;
	struct arena *a;
	int64_t now;
	struct str via;
	bool expired; /* by a person */
	struct rcpt_state *states;
	enum dsn_cause cause; /* of the recipient in hand, where it expired */
	struct outcomes o;
	struct reports reports;
};

static int64_t lifetime(const struct sched *s, const struct message *m)
{
	const struct conf *c = s->role->conf;

	return m->env.sender.len == 0 ? c->bounce_queue_lifetime
				      : c->maximal_queue_lifetime;
}

/* RFC 2852 4.2: at the time of mode N the sender is told, once. */
static bool by_is_ahead(const struct message *m, const struct item *it)
{
	return m->env.deliver_by != 0 && it->tried < m->env.deliver_by;
}

static bool warning_is_ahead(
	const struct sched *s, const struct message *m, const struct item *it)
{
	int64_t warn = s->role->conf->delay_warning_time;

	return warn > 0 && m->env.sender.len > 0 &&
	       it->tried - envelope_release(&m->env) < warn;
}

int64_t finish_event(const struct sched *s, const struct message *m)
{
	int64_t release = envelope_release(&m->env);
	int64_t event = release + lifetime(s, m);

	for (uint32_t i = 0; i < m->env.n_rcpts; i++) {
		const struct item *it = &m->items[i];

		if (it->state != ITEM_WAITING)
			continue;
		if (by_is_ahead(m, it))
			event = min_i64(event, m->env.deliver_by);
		if (warning_is_ahead(s, m, it))
			event = min_i64(event,
				release + s->role->conf->delay_warning_time);
	}
	return event;
}

/* Since it may be delivered. */
static int64_t age_of(const struct finish *x)
{
	return x->now - envelope_release(&x->m->env);
}

/* queue.md 4.3: the wait doubles, between the two bounds. */
static int64_t next_due(const struct finish *x)
{
	const struct conf *c = x->s->role->conf;
	int64_t wait = age_of(x);

	if (wait < c->minimal_backoff_time)
		wait = c->minimal_backoff_time;
	if (wait > c->maximal_backoff_time)
		wait = c->maximal_backoff_time;
	return x->now + wait;
}

static void log_outcome(
	const struct finish *x, const struct outcome_of *o, const char *status)
{
	const struct recipient *r = &x->m->env.rcpts[o->n];
	const struct rcpt_state *st = &x->states[o->n];
	struct buf next_try CLEANUP(buf_fini);
	char id[ID_TEXT];

	buf_init(&next_try, 64);
	if (st->due > 0)
		internet_date_put(st->due, &next_try);

	id_text(x->m->env.id, id);
	log_info("delivery", log_z("queue_id", id), log_s("to", r->address),
		log_s("orig_to", r->original), log_z("status", status),
		log_s("relay", o->mta),
		log_s("dsn", arena_printf(x->a, "%d.%d.%d",
				     o->kind == DELIVERED ? 2
				     : o->kind == BOUNCED ? 5
							  : 4,
				     o->subject, o->detail)),
		log_n("delay", x->now - x->m->env.arrival),
		log_s("via", x->via), log_s("route", x->m->items[o->n].route),
		log_n("attempt", x->m->items[o->n].attempts + 1),
		log_s("next_try", buf_str(&next_try)), log_s("reply", o->text));
}

/* In plain words; *o as the try brought it. */
static enum dsn_cause cause_of(
	const struct finish *x, const struct outcome_of *o)
{
	const struct envelope *env = &x->m->env;
	bool ours = o->code == 0 && o->subject == 4 && o->detail == 7;

	if (ours && x->expired)
		return DSN_CAUSE_ADMINISTRATOR;
	if (ours && (env->flags & ENV_BY_RETURN) != 0)
		return DSN_CAUSE_TIME;
	return dsn_cause_of(o->kind == DELIVERED ? 2 : 5, o->subject, o->detail,
		o->code == 0);
}

static void tell(struct finish *x, const struct outcome_of *o,
	enum dsn_action action, int class)
{
	const struct recipient *r = &x->m->env.rcpts[o->n];

	x->reports.to[x->reports.n_rcpts] =
		x->s->role->conf->disable_verp_bounces
			? x->m->env.sender
			: envelope_sender(&x->m->env, r, x->a);
	x->reports.rcpts[x->reports.n_rcpts++] =
		(struct dsn_rcpt){.address = r->address,
			.orcpt = r->orcpt,
			.action = action,
			.class = class,
			.subject = o->subject,
			.detail = o->detail,
			.reply = o->text,
			.from_mta = o->code != 0,
			.mta = o->mta,
			.cause = x->cause != DSN_CAUSE_OTHER ? x->cause
							     : cause_of(x, o),
			.will_retry_until = envelope_release(&x->m->env) +
					    lifetime(x->s, x->m)};
}

static bool wants(const struct recipient *r, unsigned what)
{
	/* RFC 3461 4.1: nothing said means failures, and delays if we like */
	return r->notify == 0 ? what != SMTP_NOTIFY_SUCCESS
			      : (r->notify & what) != 0;
}

static void give_up(struct finish *x, struct rcpt_state *st,
	const struct outcome_of *o, const char *status)
{
	const struct recipient *r = &x->m->env.rcpts[o->n];

	st->status = RCPT_DONE;
	log_outcome(x, o, status);
	/* A report of ours that is lost is the postmaster's: reports.c */
	if (wants(r, SMTP_NOTIFY_FAILURE) || (x->m->env.flags & ENV_DSN) != 0)
		tell(x, o, DSN_FAILED, 5);
}

static void defer(struct finish *x, struct rcpt_state *st, struct item *it,
	struct outcome_of *o)
{
	const struct conf *c = x->s->role->conf;
	const struct recipient *r = &x->m->env.rcpts[o->n];
	int64_t age = age_of(x);
	int64_t by = x->m->env.deliver_by;

	if (age >= lifetime(x->s, x->m)) {
		x->cause = cause_of(x, o);
		/* RFC 3463 3.5: 5.4.7 delivery time expired */
		o->text = arena_printf(x->a,
			"delivery time expired; last reason: %.*s",
			STR_ARG(o->text));
		o->subject = 4;
		o->detail = 7;
		o->code = 0;
		give_up(x, st, o, "expired");
		return;
	}
	st->due = next_due(x);
	if (by > x->now && by < st->due)
		st->due = by;
	st->reason = o->text;
	log_outcome(x, o, "deferred");
	/* Told once: at the first try behind the time. */
	bool late = age >= c->delay_warning_time &&
		    warning_is_ahead(x->s, x->m, it);
	bool by_passed = x->now >= by && by_is_ahead(x->m, it);
	if ((late || by_passed) && x->m->env.sender.len > 0 &&
		wants(r, SMTP_NOTIFY_DELAY))
		tell(x, o, DSN_DELAYED, 4);
}

/* RFC 2852 4.1.4: told where a traced mail, or one whose time the next server
 * does not keep, goes on. */
static bool by_trail(const struct finish *x, const struct outcome_of *o,
	const struct recipient *r)
{
	const struct envelope *env = &x->m->env;

	return env->deliver_by != 0 && o->code != 0 &&
	       r->notify != SMTP_NOTIFY_NEVER &&
	       (o->by_unknown || (env->flags & ENV_BY_TRACE) != 0);
}

/* Was its sender told that it is late?  postconf(5) confirm_delay_cleared */
static bool delay_ends(const struct finish *x, const struct item *it,
	const struct recipient *r)
{
	const struct conf *c = x->s->role->conf;

	return c->confirm_delay_cleared && c->delay_warning_time > 0 &&
	       it->attempts > 0 && x->m->env.sender.len > 0 &&
	       !warning_is_ahead(x->s, x->m, it) && wants(r, SMTP_NOTIFY_DELAY);
}

static void settle(struct finish *x, struct outcome_of *o)
{
	struct item *it = &x->m->items[o->n];
	struct rcpt_state *st = &x->states[o->n];
	const struct recipient *r = &x->m->env.rcpts[o->n];

	x->cause = DSN_CAUSE_OTHER;
	*st = (struct rcpt_state){.n = o->n,
		.status = RCPT_WAITING,
		.attempts = it->attempts + 1};
	if (o->kind == BOUNCED && x->s->role->conf->soft_bounce && !x->expired)
		o->kind = DEFERRED;
	switch (o->kind) {
	case DELIVERED:
		st->status = RCPT_DONE;
		log_outcome(x, o, "sent");
		if (wants(r, SMTP_NOTIFY_SUCCESS) || by_trail(x, o, r) ||
			delay_ends(x, it, r))
			tell(x, o, o->relayed ? DSN_RELAYED : DSN_DELIVERED, 2);
		break;
	case BOUNCED:
		give_up(x, st, o, "bounced");
		break;
	case DEFERRED:
		defer(x, st, it, o);
		break;
	}
}

/* ---- the end ---- */

static bool will_end(struct finish *x, const struct outcomes *o)
{
	uint32_t done = 0;

	for (uint32_t i = 0; i < x->m->env.n_rcpts; i++)
		done += x->m->items[i].state == ITEM_DONE;
	for (uint32_t i = 0; i < o->n; i++)
		done += x->states[o->v[i].n].status == RCPT_DONE;
	return done == x->m->env.n_rcpts;
}

/* States of memory follow those of the disk; the lock is held. */
static void apply(struct finish *x, const struct outcomes *o, bool written)
{
	for (uint32_t i = 0; i < o->n; i++) {
		struct item *it = &x->m->items[o->v[i].n];
		const struct rcpt_state *st = &x->states[o->v[i].n];

		it->tried = x->now;
		it->attempts++;
		if (written && st->status == RCPT_DONE) {
			it->state = ITEM_DONE;
			continue;
		}
		it->state = ITEM_WAITING;
		it->due = written ? st->due : x->now + 60;
		free(it->reason);
		it->reason = str_heap(written ? st->reason
					      : STR("the queue could not be "
						    "written"));
	}
}

/* Nothing of a probe is on disk, and nobody is told but who asked. */
static void finish_probe(
	struct sched *s, struct message *m, const struct outcomes *o)
{
	bool over = o->n > 0;

	if (over && s->on_probe != NULL)
		s->on_probe(m->env.rcpts[0].address, &o->v[0], s->probe_ctx);
	pthread_mutex_lock(&s->lock);
	m->leased--;
	over = over && m->leased == 0;
	if (over)
		sched_forget(s, m);
	else
		m->leased++;
	if (!over)
		m->items[0].due = 0;
	pthread_mutex_unlock(&s->lock);
	if (!over)
		active_schedule(s, m); /* the agent has gone */
}

/* A person deleted it while somebody had it in hand; the lock is held, and
 * given away.  Nobody else has it now: true, it is gone. */
static bool delete_late(struct sched *s, struct message *m)
{
	size_t n;
	struct fault f;

	pthread_mutex_unlock(&s->lock);
	bool ok = queue_delete(s->queue, &m->env.id, 1, &n, &f);
	if (!ok)
		log_error("queue not written", log_fault(&f));
	pthread_mutex_lock(&s->lock);
	m->removed = ok;
	return ok;
}

/* The caller's lease ends, and with the last one the message rests. */
static void end_lease(struct finish *x, bool ended, bool written)
{
	struct sched *s = x->s;
	struct message *m = x->m;
	struct outcomes none = {0};

	pthread_mutex_lock(&s->lock);
	bool last = m->leased == 1;
	if (last && m->removed && !ended)
		ended = delete_late(s, m);
	m->ending = ended;
	if (ended)
		calendar_remove(s->calendar, m->env.id);
	/* Somebody else had it in hand a moment ago. */
	bool again =
		last && !ended && written && !m->removed && active_is_done(m);
	if (!again) {
		m->leased--;
		sched_rest(s, m);
	}
	pthread_mutex_unlock(&s->lock);
	if (again)
		sched_finish(s, m, &none, x->via);
}

static struct finish *finish_of(struct queue_update *u)
{
	union {
		struct queue_update *update;
		struct finish *finish;
	} x = {.update = u};

	return x.finish;
}

static void done(struct finish *x, bool ok)
{
	struct sched *s = x->s;

	pthread_mutex_lock(&s->lock);
	apply(x, &x->o, ok);
	pthread_mutex_unlock(&s->lock);
	/* Before the lease ends: the envelopes of reports lean on m's. */
	for (uint32_t i = 0; i < x->reports.n && ok; i++)
		sched_add(s, &x->reports.v[i].env, x->reports.v[i].body);
	end_lease(x, x->update.ends && ok, ok);
	reports_fini(&x->reports);
	arena_free(x->a); /* x with it */
}

static void updated(struct queue_update *u, bool ok, const struct fault *f)
{
	if (!ok)
		log_error("queue not written", log_fault(f));
	struct sched *s = finish_of(u)->s;
	done(finish_of(u), ok);
	pthread_mutex_lock(&s->lock);
	s->writing--;
	sched_calmed(s);
	pthread_mutex_unlock(&s->lock);
}

/* The caller's outcomes lie in memory that goes sooner. */
static void take_outcomes(struct finish *x, const struct outcomes *o)
{
	x->o.v = arena_alloc(x->a, (o->n + 1) * sizeof(*x->o.v));
	x->o.n = o->n;
	for (uint32_t i = 0; i < o->n; i++) {
		x->o.v[i] = o->v[i];
		x->o.v[i].text = arena_str(x->a, o->v[i].text);
		x->o.v[i].mta = arena_str(x->a, o->v[i].mta);
	}
}

static void settle_all(struct finish *x)
{
	const struct outcomes *o = &x->o;
	struct rcpt_state *changed =
		arena_alloc(x->a, (o->n + 1) * sizeof(*changed));

	x->states =
		arena_alloc(x->a, (x->m->env.n_rcpts + 1) * sizeof(*x->states));
	x->reports.rcpts =
		arena_alloc(x->a, (o->n + 1) * sizeof(*x->reports.rcpts));
	x->reports.to = arena_alloc(x->a, (o->n + 1) * sizeof(*x->reports.to));
	for (uint32_t i = 0; i < o->n; i++) {
		if (!x->expired)
			status_filter(x->s->filters, x->m->env.id, x->via,
				&o->v[i], x->a);
		settle(x, &o->v[i]);
		changed[i] = x->states[o->v[i].n];
	}
	reports_make(&x->reports, x->s, &x->m->env, x->now, x->a);
	x->update.v = changed;
	x->update.n = o->n;
	x->update.reports = x->reports.v;
	x->update.n_reports = x->reports.n;
}

void sched_finish(struct sched *s, struct message *m, const struct outcomes *o,
	struct str via)
{
	if (is_probe(m)) {
		finish_probe(s, m, o);
		return;
	}
	struct arena *a = arena_new(SIZE_MAX);
	struct finish *x = arena_make(a, struct finish);

	*x = (struct finish){.update = {.env = &m->env, .done = updated},
		.s = s,
		.m = m,
		.a = a,
		.now = clock_unix(),
		.via = arena_str(a, via)};
	take_outcomes(x, o);
	pthread_mutex_lock(&s->lock);
	x->expired = m->expired;
	pthread_mutex_unlock(&s->lock);
	settle_all(x);
	pthread_mutex_lock(&s->lock);
	x->update.ends = m->leased == 1 && (m->removed || will_end(x, &x->o));
	m->ending = x->update.ends;
	bool nothing = o->n == 0 && !x->update.ends;
	s->writing += !nothing;
	pthread_mutex_unlock(&s->lock);
	if (nothing)
		done(x, true);
	else
		queue_update(s->queue, &x->update);
}
