/* SPDX-License-Identifier: ISC */
/* What `postern queue` shows. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "role/queue/select.h"
#include "sys/clock.h"

enum { PAGE = 100 };

static json_t *text(struct str s)
{
	json_t *j = json_stringn(s.ptr != NULL ? s.ptr : "", s.len);

	/* Bytes that are no UTF-8 are shown as what they are: unreadable. */
	return j != NULL ? j : json_string("?");
}

/* As Postfix's users know them. */
static const char *state_name(const struct rcpt_state *v, const struct item *it)
{
	if (v->status == RCPT_DONE || (it != NULL && it->state == ITEM_DONE))
		return "done";
	if (it != NULL && it->state != ITEM_WAITING)
		return "active";
	return v->attempts > 0 ? "deferred" : "incoming";
}

static const char *message_name(
	const struct queue_record *r, const struct message *m)
{
	bool deferred = false;

	if (r->mark == QUEUE_HELD || r->mark == QUEUE_CORRUPT)
		return r->mark == QUEUE_HELD ? "hold" : "corrupt";
	for (uint32_t i = 0; i < r->env.n_rcpts; i++) {
		const char *name =
			state_name(&r->v[i], m != NULL ? &m->items[i] : NULL);

		if (strcmp(name, "active") == 0)
			return name;
		deferred |= strcmp(name, "deferred") == 0;
	}
	return deferred ? "deferred" : "incoming";
}

/* Lock held. */
static char *dump(const struct sched *s, const struct queue_record *r,
	const struct message *m)
{
	const struct calendar_entry *e = calendar_get(s->calendar, r->id);
	bool parked =
		m == NULL && e != NULL && (e->flags & CALENDAR_PARKED) != 0;
	char id[ID_TEXT];
	json_t *rcpts = json_array();

	id_text(r->id, id);
	for (uint32_t i = 0; i < r->env.n_rcpts; i++) {
		const struct item *it = m != NULL ? &m->items[i] : NULL;
		const char *state = state_name(&r->v[i], it);
		bool waits = !parked && strcmp(state, "active") != 0 &&
			     strcmp(state, "done") != 0;
		struct str reason = r->v[i].reason;
		int64_t due =
			it != NULL && it->due != 0 ? it->due : r->v[i].due;

		if (parked && !str_present(reason))
			reason = STR("not tried yet: behind other mail for "
				     "the same server");
		json_array_append_new(rcpts,
			json_pack("{s:o,s:s,s:o,s:o,s:I}", "address",
				text(r->env.rcpts[i].address), "state", state,
				"reason", text(reason), "next_try",
				waits ? json_integer(due) : json_null(),
				"attempts", (json_int_t)r->v[i].attempts));
	}
	json_t *j = json_pack("{s:s,s:I,s:o,s:I,s:s,s:o,s:o}", "id", id,
		"arrival", (json_int_t)r->env.arrival, "sender",
		text(r->env.sender), "size", (json_int_t)r->env.size, "state",
		message_name(r, m), "login", text(r->env.login), "recipients",
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
static bool send_rows(struct rows *r, sched_row_f *row, void *ctx)
{
	bool go_on = true;

	for (size_t i = 0; i < r->n; i++) {
		if (go_on && r->v[i] != NULL)
			go_on = row(str_from(r->v[i]), ctx);
		free(r->v[i]);
	}
	free(r->v);
	*r = (struct rows){0};
	return go_on;
}

bool sched_list(struct sched *s, const struct queue_request *r,
	sched_row_f *row, void *ctx, struct fault *f)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	uint64_t left = r->limit > 0 ? r->limit : UINT64_MAX;
	struct selecting at = {0};
	struct queue_record *v;
	bool go_on = true;
	size_t n;

	while (go_on && !at.over && left > 0) {
		struct rows rows = {0};

		if (!select_page(s, r, &at, PAGE, a, &v, &n, f))
			return false;
		pthread_mutex_lock(&s->lock);
		for (size_t i = 0; i < n && left > 0; i++, left--)
			add_row(&rows, dump(s, &v[i], sched_find(s, v[i].id)));
		pthread_mutex_unlock(&s->lock);
		go_on = send_rows(&rows, row, ctx);
		arena_reset(a);
	}
	return true;
}

/* names: what leads there, its own. */
static char *dump_site(const struct site *site, json_t *names, int64_t now)
{
	json_int_t waiting = 0, limit = 0;

	for (const struct dest *d = site->dests; d != NULL;
		d = d->next_of_site) {
		waiting += (json_int_t)(d->n + d->n_parked);
		if (limit < d->limit)
			limit = d->limit;
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

/* By the site that it leads to: the next hops. */
static void add_names(const struct site *site, struct map *names)
{
	struct str leads_to =
		site->moved_to != NULL ? str_from(site->moved_to) : site->name;
	struct str nexthop = site->name;
	json_t *list = map_get(names, leads_to);

	if (list == NULL) {
		list = json_array();
		map_set(names, leads_to, list);
	}
	str_cut(&nexthop, ' ');
	if (site->own)
		json_array_append_new(list, text(nexthop));
}

static void decref(void *list)
{
	json_decref(list);
}

void sched_sites(struct sched *s, sched_row_f *row, void *ctx)
{
	struct map *names = map_new();
	struct rows rows = {0};
	int64_t now = clock_unix();

	pthread_mutex_lock(&s->lock);
	for (const struct site *site = s->sites; site != NULL;
		site = site->next)
		add_names(site, names);
	for (const struct site *site = s->sites; site != NULL;
		site = site->next) {
		bool mail = site->dests != NULL &&
			    site->dests->kind == AGENT_SENDER;

		/* Whoever moved to its exchangers left an empty one behind. */
		if (site->moved_to == NULL &&
			(mail || site->good > 0 || site->bad > 0))
			add_row(&rows,
				dump_site(site,
					json_incref(map_get(names, site->name)),
					now));
	}
	pthread_mutex_unlock(&s->lock);
	map_free(names, decref);
	send_rows(&rows, row, ctx);
}
