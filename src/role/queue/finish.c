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
#include "role/queue/sched_private.h"
#include "sys/clock.h"
#include "sys/file.h"

enum { REPORTS_MAX = 3 };

struct finish {
	struct sched *s;
	struct message *m;
	struct arena *a;
	int64_t now;
	struct rcpt_state *states;
	struct dsn_rcpt *rcpts; /* told about */
	size_t n_rcpts;
	struct queue_report reports[REPORTS_MAX];
	uint32_t n_reports;
	struct buf bodies[REPORTS_MAX];
};

static int64_t lifetime(const struct finish *x)
{
	const struct conf *c = x->s->role->conf;

	return x->m->env.sender.len == 0 ? c->bounce_queue_lifetime
					 : c->maximal_queue_lifetime;
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

/* RFC 2852 4.2: at the time of mode N the sender is told, once. */
static bool by_passed(const struct finish *x, const struct item *it)
{
	int64_t by = x->m->env.deliver_by;

	return by != 0 && x->now >= by && it->tried < by;
}

/* "smtp:[192.0.2.1]:25", where a route was found */
static struct str via(const struct finish *x, uint32_t n)
{
	const struct dest *d = x->m->items[n].dest;

	return d != NULL ? arena_printf(x->a, "%.*s:%.*s",
				   STR_ARG(d->transport), STR_ARG(d->nexthop))
			 : STR("");
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
		log_s("via", via(x, o->n)),
		log_n("attempt", x->m->items[o->n].attempts + 1),
		log_s("next_try", buf_str(&next_try)), log_s("reply", o->text));
}

static void tell(struct finish *x, const struct outcome_of *o,
	enum dsn_action action, int class)
{
	const struct recipient *r = &x->m->env.rcpts[o->n];

	x->rcpts[x->n_rcpts++] = (struct dsn_rcpt){.address = r->address,
		.orcpt = r->orcpt,
		.action = action,
		.class = class,
		.subject = o->subject,
		.detail = o->detail,
		.reply = o->text,
		.from_mta = o->code != 0,
		.mta = o->mta,
		.will_retry_until = envelope_release(&x->m->env) + lifetime(x)};
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
	if (wants(r, SMTP_NOTIFY_FAILURE))
		tell(x, o, DSN_FAILED, 5);
}

static void defer(struct finish *x, struct rcpt_state *st, struct item *it,
	struct outcome_of *o)
{
	const struct conf *c = x->s->role->conf;
	const struct recipient *r = &x->m->env.rcpts[o->n];
	int64_t release = envelope_release(&x->m->env);
	int64_t age = age_of(x);
	int64_t by = x->m->env.deliver_by;
	int64_t warn = c->delay_warning_time;

	if (age >= lifetime(x)) {
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
	bool late = warn > 0 && age >= warn && it->tried - release < warn;
	if ((late || by_passed(x, it)) && x->m->env.sender.len > 0 &&
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

static void settle(struct finish *x, struct outcome_of *o)
{
	struct item *it = &x->m->items[o->n];
	struct rcpt_state *st = &x->states[o->n];
	const struct recipient *r = &x->m->env.rcpts[o->n];

	*st = (struct rcpt_state){.n = o->n,
		.status = RCPT_WAITING,
		.attempts = it->attempts + 1};
	if (o->kind == BOUNCED && x->s->role->conf->soft_bounce &&
		!x->m->expired)
		o->kind = DEFERRED;
	switch (o->kind) {
	case DELIVERED:
		st->status = RCPT_DONE;
		log_outcome(x, o, "sent");
		if (wants(r, SMTP_NOTIFY_SUCCESS) || by_trail(x, o, r))
			tell(x, o,
				o->code != 0 || o->relayed ? DSN_RELAYED
							   : DSN_DELIVERED,
				2);
		break;
	case BOUNCED:
		give_up(x, st, o, "bounced");
		break;
	case DEFERRED:
		defer(x, st, it, o);
		break;
	}
}

/* ---- reports ---- */

static void report(struct finish *x, enum dsn_action action, struct str message)
{
	const struct conf *c = x->s->role->conf;
	const struct envelope *env = &x->m->env;
	struct dsn_rcpt *mine =
		arena_alloc(x->a, (x->n_rcpts + 1) * sizeof(*mine));
	struct recipient *to = arena_make(x->a, struct recipient);
	char id[ID_TEXT], original[ID_TEXT];
	uint64_t fresh = id_new();
	size_t n = 0;

	for (size_t i = 0; i < x->n_rcpts; i++)
		if (x->rcpts[i].action == action)
			mine[n++] = x->rcpts[i];
	if (n == 0)
		return;
	id_text(fresh, id);
	id_text(env->id, original);
	/* RFC 8689 5: under REQUIRETLS never more than the header. */
	bool whole = action == DSN_FAILED &&
		     (env->flags & (ENV_RET_HDRS | ENV_REQUIRETLS)) == 0 &&
		     message.len <= (size_t)c->bounce_size_limit;
	struct dsn d = {.reporting_mta = c->myhostname,
		.mail_name = c->mail_name,
		.message_id = arena_printf(
			x->a, "%s@%.*s", id, STR_ARG(c->myhostname)),
		.to = env->sender,
		.envid = env->envid,
		.queue_id = arena_str(x->a, str_from(original)),
		.arrival = env->arrival,
		.now = x->now,
		.zone_minutes = clock_zone_minutes(x->now),
		.rcpts = mine,
		.n_rcpts = n,
		.original = message,
		.headers_only = !whole};
	struct buf *body = &x->bodies[x->n_reports];
	buf_init(body, (8u << 20) + message.len);
	dsn_put(&d, body);
	*to = (struct recipient){.address = env->sender,
		.original = env->sender,
		.notify = SMTP_NOTIFY_NEVER};
	x->reports[x->n_reports++] = (struct queue_report){
		.env = {.id = fresh,
			.arrival = x->now,
			.flags = ENV_DSN | ENV_8BIT |
				 (env->flags & (ENV_UTF8 | ENV_REQUIRETLS)),
			.size = body->len,
			.sender = STR(""),
			.client = STR("local"),
			.rcpts = to,
			.n_rcpts = 1},
		.body = buf_str(body)};
	log_info("report", log_z("queue_id", original), log_z("report_id", id),
		log_s("to", env->sender),
		log_z("about", action == DSN_FAILED    ? "failure"
			       : action == DSN_DELAYED ? "delay"
						       : "success"));
}

static void make_reports(struct finish *x)
{
	struct text text CLEANUP(text_fini) = {.fd = -1};
	struct file_map map CLEANUP(file_unmap) = {0};
	struct fault f;

	if (x->n_rcpts == 0)
		return;
	if (x->m->env.sender.len == 0) {
		char id[ID_TEXT];

		/* RFC 5321 6.1: nobody is told about a lost report. */
		id_text(x->m->env.id, id);
		log_warn(
			"report could not be delivered", log_z("queue_id", id));
		return;
	}
	if (!queue_text(x->s->queue, x->m->env.id, &text, &f) ||
		!text_map(&text, &map, &f))
		map.bytes = STR("");
	report(x, DSN_FAILED, map.bytes);
	report(x, DSN_DELAYED, map.bytes);
	report(x, DSN_DELIVERED, map.bytes);
	report(x, DSN_RELAYED, map.bytes);
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

		it->dest = NULL;
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
		sched_wake(x->s, it->due);
	}
}

static void add_reports(struct finish *x)
{
	for (uint32_t i = 0; i < x->n_reports; i++)
		sched_add(x->s, &x->reports[i].env);
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
	if (over && m->leased == 0)
		sched_forget(s, m);
	else
		sched_wake(s, clock_unix());
	pthread_mutex_unlock(&s->lock);
}

void sched_finish(struct sched *s, struct message *m, const struct outcomes *o)
{
	if (is_probe(m)) {
		finish_probe(s, m, o);
		return;
	}
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct finish x = {.s = s, .m = m, .a = a, .now = clock_unix()};
	struct rcpt_state *changed =
		arena_alloc(a, (o->n + 1) * sizeof(*changed));
	struct fault f;

	x.states = arena_alloc(a, (m->env.n_rcpts + 1) * sizeof(*x.states));
	x.rcpts = arena_alloc(a, (o->n + 1) * sizeof(*x.rcpts));
	for (uint32_t i = 0; i < o->n; i++) {
		settle(&x, &o->v[i]);
		changed[i] = x.states[o->v[i].n];
	}
	make_reports(&x);
	pthread_mutex_lock(&s->lock);
	bool end =
		m->removed ? m->leased == 1 : m->leased == 1 && will_end(&x, o);
	m->ending = end;
	pthread_mutex_unlock(&s->lock);
	bool ok = (o->n == 0 && !end) ||
		  queue_update(s->queue, m->env.id, changed, o->n, x.reports,
			  x.n_reports, end, &f);
	if (!ok)
		log_error("queue not written", log_fault(&f));
	pthread_mutex_lock(&s->lock);
	apply(&x, o, ok);
	pthread_mutex_unlock(&s->lock);
	/* Before the lease ends: the envelopes of reports lean on m's. */
	if (ok)
		add_reports(&x);
	pthread_mutex_lock(&s->lock);
	m->leased--;
	m->ending = false;
	/* Deleted by hand while the outcomes were being written. */
	bool late = m->removed && m->leased == 0 && !(end && ok);
	if (late)
		m->removed = queue_delete(s->queue, m->env.id, &f);
	if ((end && ok) || (late && m->removed))
		sched_forget(s, m);
	else
		sched_wake(s, x.now);
	pthread_mutex_unlock(&s->lock);
	for (uint32_t i = 0; i < x.n_reports; i++)
		buf_fini(&x.bodies[i]);
}
