/* SPDX-License-Identifier: ISC */
#include "role/queue/select.h"

#include "codec/smtp/path.h"
#include "sys/clock.h"

/* "user@domain", or "@domain" for all of it */
static bool is_address(struct str pattern, struct str address)
{
	if (!str_starts(pattern, "@"))
		return str_ieq(pattern, address);
	return pattern.len <= address.len &&
	       str_ieq(pattern,
		       str_from_at(address, address.len - pattern.len));
}

bool select_is_in_domain(struct str address, struct str site)
{
	ptrdiff_t at = str_rfind(address, '@');
	struct str domain = str_from_at(address, (size_t)(at + 1));

	if (!str_starts(site, "@"))
		return str_ieq(domain, site);
	return smtp_domain_is_below(domain, str_from_at(site, 1));
}

static bool contains(struct str text, struct str part)
{
	for (size_t i = 0; i + part.len <= text.len; i++)
		if (str_ieq(str_sub(text, i, part.len), part))
			return true;
	return false;
}

/* One of the exchangers of where the route leads, as far as it is known. */
static bool has_exchanger(struct sched *s, const struct route *route,
	struct str name, struct arena *a)
{
	struct str key = arena_lower(
		a, arena_printf(a, "%.*s %.*s", STR_ARG(route->transport),
			   STR_ARG(route->nexthop)));
	struct str names = STR("");

	pthread_mutex_lock(&s->lock);
	const struct site *site = map_get(s->site_by_name, key);
	if (site != NULL && site->moved_to != NULL)
		names = arena_str(a, str_from(site->moved_to));
	pthread_mutex_unlock(&s->lock);
	str_cut(&names, ' ');
	while (str_present(names))
		if (str_ieq(str_cut(&names, ','), name))
			return true;
	return false;
}

static bool goes_to(struct sched *s, struct str site,
	const struct envelope *env, uint32_t n, struct arena *a)
{
	struct route route;
	struct fault f;

	if (str_present(env->filter))
		route = policy_filter_route(s->policy, env->filter);
	else if (!policy_route(s->policy, env->sender, env->rcpts[n].address, a,
			 &route, &f))
		return false;
	return str_ieq(route.nexthop, site) ||
	       has_exchanger(s, &route, site, a);
}

/* One recipient that still waits answers for all. */
static bool has_recipient(struct sched *s, const struct queue_request *r,
	const struct queue_record *m, struct arena *a)
{
	for (uint32_t i = 0; i < m->env.n_rcpts; i++)
		if (m->v[i].status != RCPT_DONE &&
			(!str_present(r->recipient) ||
				is_address(r->recipient,
					m->env.rcpts[i].address)) &&
			(!str_present(r->reason) ||
				contains(m->v[i].reason, r->reason)) &&
			(!str_present(r->site) ||
				goes_to(s, r->site, &m->env, i, a)))
			return true;
	return false;
}

bool select_has(struct sched *s, const struct queue_request *r,
	const struct queue_record *m, struct arena *a)
{
	bool by_rcpt = str_present(r->recipient) || str_present(r->reason) ||
		       str_present(r->site);

	if (r->id != 0 && r->id != m->id)
		return false;
	if (m->mark == QUEUE_CORRUPT)
		return !by_rcpt && !str_present(r->sender) &&
		       r->older_than == 0;
	if (str_present(r->sender) && !is_address(r->sender, m->env.sender))
		return false;
	if (r->older_than > 0 && m->env.arrival > clock_unix() - r->older_than)
		return false;
	return !by_rcpt || has_recipient(s, r, m, a);
}

bool select_page(struct sched *s, const struct queue_request *r,
	struct selecting *at, size_t max, struct arena *a,
	struct queue_record **v_r, size_t *n_r, struct fault *f)
{
	size_t n = 0, kept = 0;

	if (r->id != 0) {
		at->after = r->id - 1;
		max = 1;
	}
	if (!queue_page(s->queue, at->after, max, a, v_r, &n, f))
		return false;
	at->over = n < max || r->id != 0;
	if (n > 0)
		at->after = (*v_r)[n - 1].id;
	for (size_t i = 0; i < n; i++)
		if (select_has(s, r, &(*v_r)[i], a))
			(*v_r)[kept++] = (*v_r)[i];
	*n_r = kept;
	return true;
}
