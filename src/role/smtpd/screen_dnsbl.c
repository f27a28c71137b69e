/* SPDX-License-Identifier: ISC */
/*
 * postscreen_dnsbl_sites: DNS lists with weights, asked all at a time: the
 * slowest one is what a client waits for, not the sum.
 */
#include "codec/postfix/lines.h"
#include "role/smtpd/smtpd.h"
#include "sys/thread.h"
#include "sys/waiting.h"

enum { SITES_MAX = 64, STACK_BYTES = 256 * 1024 };

struct question {
	const struct policy *policy;
	struct str site; /* "list.example=127.0.0.[2..11]" */
	int64_t weight;
	struct str query;
	bool listed;
	bool running; /* in a thread of its own */
	pthread_t thread;
};

/* "list.example=127.0.0.[2..11]*3" */
static int64_t weight_of(struct str *site)
{
	ptrdiff_t star = str_rfind(*site, '*');
	int64_t weight = 1;

	if (star > 0 && str_i64(str_from_at(*site, (size_t)star + 1), &weight))
		*site = str_sub(*site, 0, (size_t)star);
	return weight;
}

static void *ask(void *arg)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(1 << 20);
	struct question *q = arg;
	struct str name;

	q->listed = dnsbl_listed(q->policy, q->site, q->query, a, &name);
	return NULL;
}

static size_t questions(struct session *s, struct question *v)
{
	struct str rest = s->sv->c->postscreen_dnsbl_sites, site;
	struct str query = dnsbl_address(s->addr, s->addr_len, s->cmd_a);
	size_t n = 0;

	while (n < SITES_MAX && str_present(site = list_item(&rest))) {
		int64_t weight = weight_of(&site);

		v[n++] = (struct question){.policy = s->sv->policy,
			.site = site,
			.weight = weight,
			.query = query};
	}
	return n;
}

int64_t smtpd_screen_dnsbl(struct session *s, struct str *worst_r)
{
	struct question *v = arena_alloc(s->cmd_a, SITES_MAX * sizeof(*v));
	size_t n = questions(s, v);
	int64_t score = 0, most = 0;

	*worst_r = STR("");
	for (size_t i = 1; i < n; i++)
		v[i].running =
			thread_start(ask, &v[i], STACK_BYTES, &v[i].thread);
	waiting_begin();
	for (size_t i = 0; i < n; i++) {
		if (v[i].running)
			pthread_join(v[i].thread, NULL);
		else
			ask(&v[i]);
		if (!v[i].listed)
			continue;
		score += v[i].weight;
		if (v[i].weight > most) {
			most = v[i].weight;
			*worst_r = str_cut(&v[i].site, '=');
		}
	}
	waiting_end();
	return score;
}
