/* SPDX-License-Identifier: ISC */
#include "policy/dnsbl_watch.h"

#include <pthread.h>
#include <time.h>

#include "base/map.h"
#include "base/must.h"
#include "sys/clock.h"
#include "sys/thread.h"

enum { LISTS_MAX = 256, STACK_BYTES = 256 * 1024, TELL_S = 86400 };

enum health { UNKNOWN, WELL, LISTS_ALL, LISTS_NONE };

struct watched {
	struct str list;
	enum health health;
	int64_t due; /* Unix seconds of the next look */
	int64_t told;
	struct watched *next;
};

struct dnsbl_watch {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct arena *a;
	struct map *by_name;
	struct watched *first;
	struct resolver *resolver;
	int64_t interval_s;
	dnsbl_notice_f *notice;
	void *ctx;
	pthread_t thread;
};

enum listed { LISTED, NOT_LISTED, NO_ANSWER };

static enum listed ask(
	struct dnsbl_watch *w, const char *entry, struct str list)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(1 << 20);
	struct resolver_addrs addrs = {0};
	struct str name = arena_printf(a, "%s.%.*s", entry, STR_ARG(list));
	struct fault f;

	switch (resolver_host(w->resolver, name, RESOLVER_V4, a, &addrs, &f)) {
	case DNS_OK:
		return LISTED;
	case DNS_NONE:
	case DNS_NXDOMAIN:
		return NOT_LISTED;
	case DNS_TEMP:
		break;
	}
	return NO_ANSWER;
}

static enum health look_at(struct dnsbl_watch *w, struct str list)
{
	static const char *const never[] = {"1.0.0.127", "invalid"};
	static const char *const always[] = {"2.0.0.127", "test"};
	bool answered = false;

	for (size_t i = 0; i < ARRAY_LEN(never); i++)
		if (ask(w, never[i], list) == LISTED)
			return LISTS_ALL;
	for (size_t i = 0; i < ARRAY_LEN(always); i++) {
		enum listed l = ask(w, always[i], list);

		if (l == LISTED)
			return WELL;
		answered |= l == NOT_LISTED;
	}
	/* A list that is silent for a while is no news. */
	return answered ? LISTS_NONE : UNKNOWN;
}

static const char *text_of(enum health h)
{
	switch (h) {
	case LISTS_ALL:
		return "the DNS list answers everything: it does not count "
		       "until it is well again; take it out of main.cf";
	case LISTS_NONE:
		return "the DNS list has not even its test entry: it seems to "
		       "be gone; take it out of main.cf";
	case WELL:
		return "the DNS list is well again";
	case UNKNOWN:
		break;
	}
	return "";
}

/* The lock is held, and given away while the list is asked. */
static void look(struct dnsbl_watch *w, struct watched *x)
{
	pthread_mutex_unlock(&w->lock);
	enum health h = look_at(w, x->list);
	int64_t now = clock_unix();
	pthread_mutex_lock(&w->lock);
	enum health before = x->health;
	x->due = now + w->interval_s;
	if (h == UNKNOWN)
		return;
	x->health = h;
	bool bad = h != WELL;
	bool news = bad ? h != before || now - x->told >= TELL_S
			: before == LISTS_ALL || before == LISTS_NONE;
	if (!news)
		return;
	x->told = now;
	pthread_mutex_unlock(&w->lock);
	w->notice(x->list, text_of(h), !bad, w->ctx);
	pthread_mutex_lock(&w->lock);
}

static void *run(void *arg)
{
	struct dnsbl_watch *w = arg;

	pthread_mutex_lock(&w->lock);
	for (;;) {
		struct watched *next = NULL;
		int64_t now = clock_unix();

		for (struct watched *x = w->first; x != NULL; x = x->next)
			if (next == NULL || x->due < next->due)
				next = x;
		if (next != NULL && next->due <= now) {
			look(w, next);
			continue;
		}
		struct timespec until = {
			.tv_sec = next != NULL ? next->due : now + TELL_S};
		pthread_cond_timedwait(&w->changed, &w->lock, &until);
	}
	return NULL;
}

struct dnsbl_watch *dnsbl_watch_new(struct resolver *resolver,
	int64_t interval_s, dnsbl_notice_f *notice, void *ctx)
{
	struct dnsbl_watch *w = must_alloc(sizeof(*w));

	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->changed, NULL);
	w->a = arena_new(SIZE_MAX);
	w->by_name = map_new();
	w->resolver = resolver;
	w->interval_s = interval_s;
	w->notice = notice;
	w->ctx = ctx;
	must(thread_start(run, w, STACK_BYTES, &w->thread));
	return w;
}

bool dnsbl_watch_ignores(struct dnsbl_watch *w, struct str list)
{
	if (w == NULL)
		return false;
	pthread_mutex_lock(&w->lock);
	struct watched *x = map_get(w->by_name, list);
	if (x == NULL && map_count(w->by_name) < LISTS_MAX) {
		x = arena_make(w->a, struct watched);
		x->list = arena_str(w->a, list);
		x->next = w->first;
		w->first = x;
		map_set(w->by_name, x->list, x);
		pthread_cond_signal(&w->changed);
	}
	bool ignored = x != NULL && x->health == LISTS_ALL;
	pthread_mutex_unlock(&w->lock);
	return ignored;
}
