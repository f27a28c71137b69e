/* SPDX-License-Identifier: ISC */
#include "policy/dkim_keyring.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/map.h"
#include "base/must.h"
#include "codec/smtp/path.h"
#include "sys/clock.h"

enum {
	LOOK_MS = 1000, /* how often the directory of a domain is looked at */
	ASK_MS = 30000, /* and DNS for a new key */
};

/* The keys of one domain; the set is replaced as a whole. */
struct domain_keys {
	struct arena *a;
	struct dkim_keys keys;
	struct timespec changed;
	uint64_t serial; /* of this loading */
	int64_t looked_ms, asked_ms;
	bool visible; /* all keys that were new are in DNS */
};

struct dkim_keyring {
	struct str directory;
	struct resolver *resolver;
	pthread_mutex_t lock; /* of domains */
	struct map *domains; /* name to struct domain_keys */
	uint64_t serial;
};

struct dkim_keyring *dkim_keyring_new(
	struct str directory, struct resolver *resolver)
{
	struct dkim_keyring *s = must_alloc(sizeof(*s));

	*s = (struct dkim_keyring){.directory = directory,
		.resolver = resolver,
		.domains = map_new()};
	pthread_mutex_init(&s->lock, NULL);
	return s;
}

static void free_keys(struct domain_keys *d)
{
	if (d == NULL)
		return;
	dkim_keys_free(&d->keys);
	arena_free(d->a);
	free(d);
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* Two changes in one tick of the file system's clock have the same time. */
static bool is_settled(struct timespec changed)
{
	return clock_unix() > (int64_t)changed.tv_sec + 1;
}

/* Loads or reloads; *d_r is NULL where the domain has none. */
static bool look(struct dkim_keyring *s, struct str domain,
	struct domain_keys **d_r, struct fault *f)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct str path = arena_printf(
		a, "%.*s/%.*s", STR_ARG(s->directory), STR_ARG(domain));
	struct domain_keys *d = map_get(s->domains, domain);
	int64_t now = clock_mono_ms();
	struct stat st;

	*d_r = d;
	if (d != NULL && now - d->looked_ms < LOOK_MS)
		return true;
	if (stat(path.ptr, &st) != 0) {
		int error = errno;

		free_keys(map_remove(s->domains, domain));
		*d_r = NULL;
		errno = error;
		return error == ENOENT || error == ENOTDIR ||
		       fault_sys(f, "%.*s", STR_ARG(path));
	}
	if (d != NULL && same_time(d->changed, st.st_mtim) &&
		is_settled(st.st_mtim)) {
		d->looked_ms = now;
		return true;
	}
	struct domain_keys *fresh = must_alloc(sizeof(*fresh));
	*fresh = (struct domain_keys){.a = arena_new(SIZE_MAX),
		.changed = st.st_mtim,
		.serial = ++s->serial,
		.looked_ms = now};
	if (!dkim_keys_load(s->directory, domain, fresh->a, &fresh->keys, f)) {
		free_keys(fresh);
		return false;
	}
	free_keys(map_set(s->domains, domain, fresh));
	*d_r = fresh;
	return true;
}

void dkim_pen_put(struct dkim_pen *p)
{
	for (size_t i = 0; i < p->n; i++)
		EVP_PKEY_free(p->v[i].key);
}

static bool has_new(const struct domain_keys *d)
{
	for (size_t i = 0; i < d->keys.n; i++)
		if (d->keys.v[i].state == DKIM_KEY_NEW)
			return true;
	return false;
}

static void take(struct dkim_pen *p, const struct domain_keys *d,
	enum dkim_key_state state, struct arena *a)
{
	for (size_t i = 0; i < d->keys.n && p->n < DKIM_PEN_KEYS; i++) {
		const struct dkim_key_file *k = &d->keys.v[i];

		if (k->state != state)
			continue;
		EVP_PKEY_up_ref(k->key);
		p->v[p->n++] = (struct dkim_key_file){
			.selector = arena_str(a, k->selector),
			.state = k->state,
			.since = k->since,
			.key = k->key};
	}
}

static bool all_published(struct dkim_keyring *s, struct str domain,
	const struct dkim_pen *p, struct arena *a)
{
	for (size_t i = 0; i < p->n; i++)
		if (dkim_key_published(s->resolver, domain, &p->v[i], a) !=
			DNS_OK)
			return false;
	return p->n > 0;
}

/* What DNS said of the new keys, unless they are others by now. */
static void remember(struct dkim_keyring *s, struct str domain, uint64_t serial,
	bool visible)
{
	pthread_mutex_lock(&s->lock);
	struct domain_keys *d = map_get(s->domains, domain);

	if (d != NULL && d->serial == serial) {
		d->visible = visible;
		d->asked_ms = clock_mono_ms();
	}
	pthread_mutex_unlock(&s->lock);
}

/* Not while DNS has just said no; many may ask at once, and all wait. */
static bool is_time_to_ask(const struct domain_keys *d)
{
	return !d->visible &&
	       (d->asked_ms == 0 || clock_mono_ms() - d->asked_ms > ASK_MS);
}

bool dkim_keyring_take(struct dkim_keyring *s, struct str domain,
	struct arena *a, struct dkim_pen *p, bool *any_r, struct fault *f)
{
	struct domain_keys *d;
	struct dkim_pen fresh = {0};
	uint64_t serial = 0;
	bool ask = false, visible = false;

	*p = (struct dkim_pen){0};
	pthread_mutex_lock(&s->lock);
	bool ok = look(s, domain, &d, f);
	*any_r = ok && d != NULL && d->keys.n > 0;
	if (*any_r && has_new(d)) {
		visible = d->visible;
		ask = is_time_to_ask(d);
		serial = d->serial;
		take(&fresh, d, DKIM_KEY_NEW, a);
	}
	if (*any_r)
		take(p, d, DKIM_KEY_USED, a);
	pthread_mutex_unlock(&s->lock);
	if (ask) {
		visible = all_published(s, domain, &fresh, a);
		remember(s, domain, serial, visible);
	}
	p->waiting = fresh.n > 0 && !visible;
	if (visible) {
		dkim_pen_put(p);
		*p = fresh;
	} else {
		dkim_pen_put(&fresh);
	}
	return ok;
}

/* A name that is no path: it goes into one. */
static bool is_plain(struct str domain)
{
	return domain.len > 0 && domain.len < 254 && domain.ptr[0] != '.' &&
	       str_find(domain, '/') < 0 && smtp_domain_valid(domain, true);
}

bool dkim_keyring_find(struct dkim_keyring *k, struct str domain, bool exact,
	struct arena *a, struct str *domain_r, struct dkim_pen *pen_r,
	struct fault *f)
{
	struct str at = domain;
	bool any = false;

	*pen_r = (struct dkim_pen){0};
	for (; str_present(at) && at.len > 0; str_cut(&at, '.')) {
		if (is_plain(at) &&
			!dkim_keyring_take(k, at, a, pen_r, &any, f))
			return false;
		if (any || exact)
			break;
	}
	*domain_r = any ? at : STR_NONE;
	return true;
}
