/* SPDX-License-Identifier: ISC */
/* What is active, what is not, and the threads that look at what is due. */
#include "role/queue/sched.h"

#include <stdlib.h>

#include "base/must.h"
#include "role/queue/sched_private.h"
#include "sys/clock.h"

enum { TEXT_KEPT_MAX = 16 << 10, TEXTS_KEPT_MAX = 16 << 20 };
enum { BATCH = 64, FAR = 3600, SITES_S = 60, UNWRITTEN_S = 60 };

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

void sched_hungry(struct sched *s, struct line *l)
{
	if (l->hungry)
		return;
	l->hungry = true;
	l->next_hungry = s->hungry;
	s->hungry = l;
	pthread_cond_signal(&s->changed);
}

/* ---- active ---- */

void sched_enter(struct sched *s, struct message *m)
{
	s->n_active++;
	s->text_bytes += m->text.bytes.len;
	map_set(s->by_id, id_key(&m->env.id), m);
}

void sched_forget(struct sched *s, struct message *m)
{
	must(m->leased == 0 && m->lined == 0);
	map_remove(s->by_id, id_key(&m->env.id));
	/* Whoever waits for room may come. */
	if (s->n_active-- >= (size_t)s->role->conf->qmgr_message_active_limit)
		sched_wake(s, clock_unix());
	for (uint32_t i = 0; i < m->env.n_rcpts; i++)
		free(m->items[i].reason);
	free(m->items);
	s->text_bytes -= m->text.bytes.len;
	text_fini(&m->text);
	arena_free(m->a);
	free(m);
}

/* When it must be looked at next; 0: all its recipients are done. */
static int64_t next_look(const struct message *m, int64_t now)
{
	int64_t by = m->env.deliver_by, due = 0;

	for (uint32_t i = 0; i < m->env.n_rcpts; i++) {
		const struct item *it = &m->items[i];

		if (it->state == ITEM_WAITING && (due == 0 || it->due < due))
			due = it->due > 0 ? it->due : 1;
	}
	return by > now && (due == 0 || by < due) ? by : due;
}

void sched_rest(struct sched *s, struct message *m)
{
	int64_t now = clock_unix(), due = next_look(m, now);
	bool idle = m->leased == 0 && m->lined == 0;

	if (is_probe(m))
		return;
	if (idle && m->ending) {
		sched_forget(s, m);
		return;
	}
	if (m->expired && (due != 0 || m->lined > 0))
		due = 1;
	/* Its end could not be written. */
	if (due == 0 && idle)
		due = now + UNWRITTEN_S;
	if (due != 0 && !m->hold && !m->removed && !m->ending) {
		calendar_set(s->calendar, m->env.id, due, 0);
		sched_wake(s, due);
	}
	if (idle)
		sched_forget(s, m);
}

/* On disk alone; false: it may be active at once. */
static bool wait_on_disk(struct sched *s, const struct envelope *env)
{
	int64_t release = envelope_release(env);
	bool full =
		s->n_active >= (size_t)s->role->conf->qmgr_message_active_limit;

	if ((env->flags & ENV_PROBE) != 0 || (!full && release <= clock_unix()))
		return false;
	calendar_set(s->calendar, env->id, release, 0);
	sched_wake(s, release);
	return true;
}

void sched_add(struct sched *s, const struct envelope *env, struct str text)
{
	/* It is on disk, and nobody looks at it. */
	if ((env->flags & ENV_HOLD) != 0)
		return;
	pthread_mutex_lock(&s->lock);
	bool aside = wait_on_disk(s, env);
	bool room = s->text_bytes + text.len <= TEXTS_KEPT_MAX;
	pthread_mutex_unlock(&s->lock);
	if (aside)
		return;
	struct message *m = active_new(env);
	/* So that it need not be read again. */
	if (str_present(text) && text.len <= TEXT_KEPT_MAX && room)
		m->text = text_copy(text);
	active_begin(s, m);
}

void sched_on_probe(struct sched *s, sched_probe_f *fn, void *ctx)
{
	s->on_probe = fn;
	s->probe_ctx = ctx;
}

/* ---- what is due ---- */

struct batch {
	struct calendar_entry v[BATCH];
	size_t n;
	struct message *m[BATCH];
	struct line *line; /* that they were parked behind; NULL: none */
};

/* As many of the line's messages as it has room for. */
static void take_parked(struct sched *s, struct batch *b)
{
	struct line *l = s->hungry;
	size_t room = line_room(l);
	uint64_t id;

	s->hungry = l->next_hungry;
	b->line = l; /* stays hungry, and so stays */
	while (b->n < BATCH && b->n < room && (id = line_unpark(l)) != 0) {
		const struct calendar_entry *e = calendar_get(s->calendar, id);

		if (e == NULL || (e->flags & CALENDAR_PARKED) == 0)
			continue; /* something else has become of it */
		b->v[b->n++] = (struct calendar_entry){.id = id,
			.due = e->due,
			.flags = e->flags & ~(uint32_t)CALENDAR_PARKED};
		calendar_remove(s->calendar, id);
	}
}

static bool take_batch(struct sched *s, struct batch *b)
{
	size_t limit = (size_t)s->role->conf->qmgr_message_active_limit;

	*b = (struct batch){0};
	if (s->n_active >= limit)
		return false;
	if (s->hungry != NULL) {
		take_parked(s, b);
		return true;
	}
	while (b->n < BATCH && s->n_active + b->n < limit &&
		calendar_pop(s->calendar, clock_unix(), &b->v[b->n]))
		b->n++;
	return b->n > 0;
}

/* An active one of which something has become due. */
static struct message *lease_active(
	struct sched *s, const struct calendar_entry *e)
{
	struct message *m = sched_find(s, e->id);

	if (m == NULL)
		return NULL;
	m->leased++;
	for (uint32_t i = 0; i < m->env.n_rcpts; i++)
		if ((e->flags & CALENDAR_NOW) != 0 &&
			m->env.hold_until <= clock_unix())
			m->items[i].due = 0;
	return m;
}

/* While it was being fed nobody could call it hungry. */
static void fed(struct sched *s, struct line *l)
{
	l->hungry = false;
	if (l->n_parked > 0 && line_room(l) > 0)
		sched_hungry(s, l);
	else
		line_feed(s, l->dest);
	line_drop(s, l);
}

/* The people's lock is held, the other one is not: from here to where all are
 * active, their ids stand nowhere. */
static void load_batch(struct sched *s, struct batch *b)
{
	for (size_t i = 0; i < b->n; i++) {
		pthread_mutex_lock(&s->lock);
		b->m[i] = lease_active(s, &b->v[i]);
		pthread_mutex_unlock(&s->lock);
		if (b->m[i] != NULL)
			continue;
		b->m[i] = active_load(s, &b->v[i]);
		if (b->m[i] == NULL)
			continue;
		pthread_mutex_lock(&s->lock);
		sched_enter(s, b->m[i]);
		pthread_mutex_unlock(&s->lock);
	}
}

/* False: there was nothing. */
static bool look_at_some(struct sched *s)
{
	struct batch b;

	pthread_mutex_lock(&s->people);
	pthread_mutex_lock(&s->lock);
	bool any = take_batch(s, &b);
	pthread_mutex_unlock(&s->lock);
	if (any)
		load_batch(s, &b);
	pthread_mutex_unlock(&s->people);
	for (size_t i = 0; i < b.n; i++)
		if (b.m[i] != NULL)
			active_schedule(s, b.m[i]);
	if (b.line != NULL) {
		pthread_mutex_lock(&s->lock);
		fed(s, b.line);
		pthread_mutex_unlock(&s->lock);
	}
	return any;
}

/* Waits for the next thing to do; the lock is held. */
static void wait_due(struct sched *s)
{
	int64_t now = clock_unix();
	int64_t opens = dest_open_due(s, now);
	int64_t next = calendar_next(s->calendar);
	bool full =
		s->n_active >= (size_t)s->role->conf->qmgr_message_active_limit;
	struct timespec until = {.tv_sec = now + FAR};

	/* What is put off now says so by sched_wake. */
	s->next_due = 0;
	jobs_dispatch(s);
	if (s->next_due != 0 && (opens == 0 || s->next_due < opens))
		opens = s->next_due;
	if (s->hungry != NULL && !full)
		return;
	if (opens != 0 && opens < until.tv_sec)
		until.tv_sec = opens;
	if (next != 0 && !full && next < until.tv_sec)
		until.tv_sec = next;
	s->next_due = until.tv_sec;
	if (until.tv_sec > now)
		pthread_cond_timedwait(&s->changed, &s->lock, &until);
}

static void *look(void *arg)
{
	struct sched *s = arg;

	for (;;) {
		if (look_at_some(s))
			continue;
		pthread_mutex_lock(&s->lock);
		wait_due(s);
		pthread_mutex_unlock(&s->lock);
	}
	return NULL;
}

/* ---- the start ---- */

static void load_one(uint64_t id, int64_t due, void *ctx)
{
	struct sched *s = ctx;

	pthread_mutex_lock(&s->lock);
	if (sched_find(s, id) == NULL &&
		calendar_get(s->calendar, id) == NULL) {
		calendar_set(s->calendar, id, due, 0);
		sched_wake(s, due);
	}
	pthread_mutex_unlock(&s->lock);
}

static void *load(void *arg)
{
	struct sched *s = arg;
	struct fault f;

	while (!queue_dues(s->queue, load_one, s, &f)) {
		struct timespec pause = {.tv_sec = 1};

		log_error("queue not read", log_fault(&f));
		nanosleep(&pause, NULL);
	}
	pthread_mutex_lock(&s->lock);
	size_t n = calendar_count(s->calendar) + s->n_active;
	s->loaded = true;
	pthread_cond_broadcast(&s->started);
	pthread_mutex_unlock(&s->lock);
	if (n > 0)
		log_info("queue loaded", log_n("messages", (int64_t)n));
	for (;;) {
		struct timespec pause = {.tv_sec = SITES_S};

		nanosleep(&pause, NULL);
		sites_file_keep(s->sites_file, s);
	}
	return NULL;
}

struct sched *sched_new(struct role *r, struct queue *q, struct policy *p,
	struct policy *probes, const struct status_filters *filters,
	const struct bounce_template *bounces)
{
	struct sched *s = must_alloc(sizeof(*s));

	s->role = r;
	s->queue = q;
	s->policy = p;
	s->probe_policy = probes;
	s->filters = filters;
	s->bounces = bounces;
	pthread_mutex_init(&s->people, NULL);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->changed, NULL);
	pthread_cond_init(&s->started, NULL);
	pthread_cond_init(&s->calm, NULL);
	s->calendar = calendar_new();
	s->by_id = map_new();
	s->dest_by_key = map_new();
	s->rate_by_transport = map_new();
	s->line_by_key = map_new();
	s->site_by_name = map_new();
	s->carried = map_new();
	source_load(s);
	return s;
}

bool sched_start(struct sched *s, const char *dir, struct fault *f)
{
	s->sites_file = sites_file_open(s, dir, f);
	if (s->sites_file == NULL)
		return false;
	must(pthread_create(&s->loader, NULL, load, s) == 0);
	for (size_t i = 0; i < LOOKERS; i++)
		must(pthread_create(&s->lookers[i], NULL, look, s) == 0);
	return true;
}

void sched_calmed(struct sched *s)
{
	if (s->in_hand == 0 && s->writing == 0)
		pthread_cond_broadcast(&s->calm);
}

void sched_end(struct sched *s, int64_t wait_s)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += wait_s;
	pthread_mutex_lock(&s->lock);
	s->ending = true;
	while (s->in_hand > 0 || s->writing > 0)
		if (pthread_cond_timedwait(&s->calm, &s->lock, &until) != 0)
			break;
	unsigned left = s->in_hand;
	pthread_mutex_unlock(&s->lock);
	if (left > 0)
		log_warn("ending with deliveries in hand", log_n("left", left));
}

void sched_keep(struct sched *s)
{
	sites_file_keep(s->sites_file, s);
}
