/* SPDX-License-Identifier: ISC */
/* What `postern queue` shows and does. */
#include <jansson.h>
#include <stdlib.h>

#include "base/must.h"
#include "role/queue/sched_private.h"
#include "sys/clock.h"

static json_t *text(struct str s)
{
	json_t *j = json_stringn(s.ptr != NULL ? s.ptr : "", s.len);

	/* Bytes that are no UTF-8 are shown as what they are: unreadable. */
	return j != NULL ? j : json_string("?");
}

static const char *item_name(const struct item *it)
{
	switch (it->state) {
	case ITEM_WAITING:
		return it->attempts > 0 ? "deferred" : "incoming";
	case ITEM_LINED:
	case ITEM_LEASED:
		return "active";
	case ITEM_DONE:
		return "done";
	}
	return "";
}

static const char *message_name(const struct message *m)
{
	bool active = false, deferred = false;

	if (m->hold)
		return "hold";
	for (uint32_t i = 0; i < m->env.n_rcpts; i++) {
		active |= m->items[i].state == ITEM_LINED ||
			  m->items[i].state == ITEM_LEASED;
		deferred |= m->items[i].state == ITEM_WAITING &&
			    m->items[i].attempts > 0;
	}
	return active ? "active" : deferred ? "deferred" : "incoming";
}

static char *dump(const struct message *m)
{
	char id[ID_TEXT];
	json_t *rcpts = json_array();

	id_text(m->env.id, id);
	for (uint32_t i = 0; i < m->env.n_rcpts; i++) {
		const struct item *it = &m->items[i];
		bool waits = it->state == ITEM_WAITING;

		json_array_append_new(rcpts,
			json_pack("{s:o,s:s,s:s,s:o,s:I}", "address",
				text(m->env.rcpts[i].address), "state",
				item_name(it), "reason",
				it->reason != NULL ? it->reason : "",
				"next_try",
				waits ? json_integer(it->due) : json_null(),
				"attempts", (json_int_t)it->attempts));
	}
	json_t *j = json_pack("{s:s,s:I,s:o,s:I,s:s,s:o,s:o}", "id", id,
		"arrival", (json_int_t)m->env.arrival, "sender",
		text(m->env.sender), "size", (json_int_t)m->env.size, "state",
		message_name(m), "login", text(m->env.login), "recipients",
		rcpts);
	char *out = j != NULL ? json_dumps(j, JSON_COMPACT) : NULL;
	json_decref(j);
	return out;
}

struct rows {
	char **v;
	size_t n, cap;
};

static void add_row(struct rows *r, char *json)
{
	if (r->n == r->cap) {
		r->cap = r->cap > 0 ? r->cap * 2 : 64;
		r->v = must_realloc(r->v, r->cap * sizeof(*r->v));
	}
	r->v[r->n++] = json;
}

/* Rows are made under the lock and sent without it: a slow reader must not
 * stop the mail. */
static void send_rows(
	struct rows *r, bool (*row)(struct str json, void *ctx), void *ctx)
{
	bool go_on = true;

	for (size_t i = 0; i < r->n; i++) {
		if (go_on && r->v[i] != NULL)
			go_on = row(str_from(r->v[i]), ctx);
		free(r->v[i]);
	}
	free(r->v);
}

void sched_list(struct sched *s, uint64_t id_filter,
	bool (*row)(struct str json, void *ctx), void *ctx)
{
	struct rows rows = {0};

	pthread_mutex_lock(&s->lock);
	for (struct message *m = s->first; m != NULL; m = m->next)
		if ((id_filter == 0 || m->env.id == id_filter) && !is_probe(m))
			add_row(&rows, dump(m));
	pthread_mutex_unlock(&s->lock);
	send_rows(&rows, row, ctx);
}

static char *dump_site(
	const struct sched *s, const struct site *site, int64_t now)
{
	json_int_t waiting = 0, limit = 0;
	json_t *names = json_array();

	for (const struct dest *d = s->dests; d != NULL; d = d->next) {
		if (d->site != site)
			continue;
		for (const struct item *it = d->first; it != NULL;
			it = it->next)
			waiting++;
		if (limit < d->limit)
			limit = d->limit;
		json_array_append_new(names, text(d->nexthop));
	}
	json_t *j = json_pack("{s:o,s:o,s:I,s:I,s:I,s:I,s:o,s:I,s:I,s:s}",
		"site", text(site->name), "destinations", names, "waiting",
		waiting, "in_flight", (json_int_t)site->in_flight, "window",
		(json_int_t)site->window, "limit", limit, "closed_until",
		site->closed_until > now ? json_integer(site->closed_until)
					 : json_null(),
		"good", (json_int_t)site->good, "bad", (json_int_t)site->bad,
		"last", site->last != NULL ? site->last : "");
	char *out = j != NULL ? json_dumps(j, JSON_COMPACT) : NULL;
	json_decref(j);
	return out;
}

void sched_sites(
	struct sched *s, bool (*row)(struct str json, void *ctx), void *ctx)
{
	struct rows rows = {0};
	int64_t now = clock_unix();

	pthread_mutex_lock(&s->lock);
	for (const struct site *site = s->sites; site != NULL;
		site = site->next) {
		bool used = false;

		/* Whoever moved to its exchangers left an empty one behind. */
		for (const struct dest *d = s->dests; d != NULL && !used;
			d = d->next)
			used = d->site == site && d->kind == AGENT_SENDER;
		if (used)
			add_row(&rows, dump_site(s, site, now));
	}
	pthread_mutex_unlock(&s->lock);
	send_rows(&rows, row, ctx);
}

/* ---- actions ---- */

static void flush_message(struct sched *s, struct message *m)
{
	int64_t now = clock_unix();

	/* What its sender wants later is not late. */
	if (m->env.hold_until > now)
		return;
	for (uint32_t i = 0; i < m->env.n_rcpts; i++)
		if (m->items[i].state == ITEM_WAITING)
			m->items[i].due = now;
	sched_wake(s, now);
}

/* Takes waiting recipients out of the lines of their destinations. */
static void leave_lines(struct sched *s, struct message *m)
{
	for (struct dest *d = s->dests; d != NULL; d = d->next) {
		struct item **p = &d->first;

		d->last = NULL;
		while (*p != NULL) {
			if ((*p)->m == m) {
				struct item *it = *p;

				*p = it->next;
				it->next = NULL;
				it->state = ITEM_WAITING;
				continue;
			}
			d->last = *p;
			p = &(*p)->next;
		}
	}
}

static bool act_on(struct sched *s, enum queue_action action, struct message *m)
{
	struct fault f;
	uint64_t id = m->env.id;
	bool ok = true;

	switch (action) {
	case QUEUE_FLUSH:
		for (struct dest *d = s->dests; d != NULL; d = d->next)
			d->site->closed_until = 0;
		flush_message(s, m);
		return true;
	case QUEUE_HOLD:
	case QUEUE_RELEASE:
		if (m->hold == (action == QUEUE_HOLD))
			return false;
		m->hold = action == QUEUE_HOLD;
		if (m->hold)
			leave_lines(s, m);
		else
			flush_message(s, m);
		ok = queue_hold(s->queue, id, m->hold, &f);
		break;
	case QUEUE_EXPIRE:
		/* The scheduler ends it; what is in an agent's hands, when it
		 * comes back.  From hold too: nobody waits for it any more. */
		if (m->hold)
			ok = queue_hold(s->queue, id, false, &f);
		m->hold = m->hold && !ok;
		m->expired = ok;
		sched_wake(s, clock_unix());
		break;
	case QUEUE_DELETE:
		leave_lines(s, m);
		m->removed = true;
		/* In an agent's hands it ends when the agent comes back. */
		if (m->leased == 0) {
			ok = queue_delete(s->queue, id, &f);
			if (ok)
				sched_forget(s, m);
			else
				m->removed = false;
		}
		break;
	}
	if (!ok)
		log_error("queue not written", log_fault(&f));
	return ok;
}

static bool is_in_site(struct str address, struct str site)
{
	ptrdiff_t at = str_rfind(address, '@');
	struct str domain = str_from_at(address, (size_t)(at + 1));

	if (!str_starts(site, "@"))
		return str_ieq(domain, site);
	struct str name = str_from_at(site, 1);
	return str_ieq(domain, name) ||
	       (domain.len > name.len && str_iends(domain, name) &&
		       domain.ptr[domain.len - name.len - 1] == '.');
}

uint64_t sched_flush_site(struct sched *s, struct str site)
{
	int64_t now = clock_unix();
	uint64_t n = 0;

	pthread_mutex_lock(&s->lock);
	for (struct message *m = s->first; m != NULL; m = m->next) {
		bool found = false;

		for (uint32_t i = 0; i < m->env.n_rcpts && !m->hold; i++) {
			struct item *it = &m->items[i];

			if (it->state == ITEM_DONE ||
				!is_in_site(m->env.rcpts[i].address, site) ||
				m->env.hold_until > now)
				continue;
			found = true;
			it->due = now;
			if (it->dest != NULL)
				it->dest->site->closed_until = 0;
		}
		n += found;
	}
	for (struct dest *d = s->dests; d != NULL; d = d->next)
		if (str_ieq(d->nexthop, str_starts(site, "@")
						? str_from_at(site, 1)
						: site))
			d->site->closed_until = 0;
	sched_wake(s, now);
	sched_dispatch(s);
	pthread_mutex_unlock(&s->lock);
	return n;
}

uint64_t sched_act(struct sched *s, enum queue_action action, uint64_t id)
{
	uint64_t n = 0;

	/* A person's command: the flushes under the lock are few and rare. */
	pthread_mutex_lock(&s->lock);
	for (struct message *m = s->first, *next; m != NULL; m = next) {
		next = m->next;
		if ((id == 0 || m->env.id == id) && !is_probe(m))
			n += act_on(s, action, m);
	}
	for (struct dest *d = s->dests; d != NULL && action == QUEUE_FLUSH;
		d = d->next)
		d->site->closed_until = 0;
	sched_dispatch(s);
	pthread_mutex_unlock(&s->lock);
	return n;
}
