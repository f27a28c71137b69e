/* SPDX-License-Identifier: ISC */
#include "policy/mta_sts.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/map.h"
#include "base/must.h"
#include "codec/smtp/path.h"
#include "sys/clock.h"
#include "sys/file.h"

enum {
	POLICY_BYTES = 64 * 1024, /* RFC 8461 3.2 */
	CONNECT_MS = 20000,
	TOTAL_MS = 60000, /* 3.3 */
	AGAIN_S = 300, /* behind a fetch that failed: 3.3 */
	DOMAINS_MAX = 10000, /* in memory */
	FRESH_S = 86400, /* then it is fetched again, to live longer */
};

struct known {
	struct arena *a;
	struct str id;
	int64_t fetched; /* Unix seconds; 0: there is no policy */
	struct mta_sts_policy policy;
	int64_t failed; /* the last fetch, Unix seconds; 0: it went well */
};

struct mta_sts {
	struct resolver *resolver;
	const char *directory, *ca_file, *ca_path;
	pthread_mutex_t lock; /* of domains */
	struct map *domains; /* name to struct known */
};

struct mta_sts *mta_sts_new(struct resolver *resolver, const char *directory,
	const char *ca_file, const char *ca_path)
{
	struct mta_sts *s = must_alloc(sizeof(*s));

	*s = (struct mta_sts){.resolver = resolver,
		.directory = directory,
		.ca_file = ca_file,
		.ca_path = ca_path,
		.domains = map_new()};
	pthread_mutex_init(&s->lock, NULL);
	return s;
}

/* ---- what is kept ---- */

static struct str path_of(
	const struct mta_sts *s, struct str domain, struct arena *a)
{
	return arena_printf(a, "%s/%.*s", s->directory, STR_ARG(domain));
}

static void free_known(struct known *k)
{
	if (k != NULL)
		arena_free(k->a); /* it lives in its own arena */
}

/* "id fetched", then the policy as it came. */
static struct known *make_known(struct str id, int64_t fetched, struct str text)
{
	struct arena *a = arena_new(SIZE_MAX);
	struct known *k = arena_make(a, struct known);

	*k = (struct known){.a = a, .id = arena_str(a, id), .fetched = fetched};
	if (mta_sts_policy_parse(arena_str(a, text), a, &k->policy))
		return k;
	arena_free(a);
	return NULL;
}

static struct known *load(
	const struct mta_sts *s, struct str domain, struct arena *a)
{
	struct buf text CLEANUP(buf_fini);
	struct fault f;
	int64_t fetched = 0;

	buf_init(&text, POLICY_BYTES + 256);
	if (!file_read(
		    path_of(s, domain, a).ptr, POLICY_BYTES + 256, &text, &f))
		return NULL;
	struct str rest = buf_str(&text), line = str_cut(&rest, '\n');
	struct str id = str_word(&line, " ");
	if (!str_i64(str_trim(line), &fetched) || !str_present(rest))
		return NULL;
	return make_known(id, fetched, rest);
}

static void save(const struct mta_sts *s, struct str domain,
	const struct known *k, struct str text, struct arena *a)
{
	struct buf b CLEANUP(buf_fini);
	struct fault f;

	buf_init(&b, POLICY_BYTES + 256);
	buf_putf(&b, "%.*s %lld\n", STR_ARG(k->id), (long long)k->fetched);
	buf_put(&b, text);
	/* Without the file it is still in memory. */
	if (!file_replace(path_of(s, domain, a).ptr, buf_str(&b), 0600, &f))
		return;
}

static bool is_alive(const struct known *k, int64_t now)
{
	return k != NULL && k->fetched > 0 &&
	       now < k->fetched + k->policy.max_age;
}

static struct mta_sts_policy copy(
	const struct mta_sts_policy *from, struct arena *a)
{
	struct mta_sts_policy to = {
		.mode = from->mode, .max_age = from->max_age};

	for (size_t i = 0; i < from->mx.n; i++)
		strs_add(&to.mx, a, arena_str(a, from->mx.v[i]));
	return to;
}

static void free_value(void *k)
{
	free_known(k);
}

/* With the lock held.  Who is thrown out is in its file; only failures are
 * forgotten. */
static void remember(struct mta_sts *s, struct str domain, struct known *k)
{
	if (map_count(s->domains) >= DOMAINS_MAX) {
		map_free(s->domains, free_value);
		s->domains = map_new();
	}
	free_known(map_set(s->domains, domain, k));
}

/* What is known of a domain, with the lock held; NULL: nothing, as of most. */
static struct known *recall(
	struct mta_sts *s, struct str domain, struct arena *a)
{
	struct known *k = map_get(s->domains, domain);

	if (k != NULL)
		return k;
	k = load(s, domain, a);
	if (k != NULL && !is_alive(k, clock_unix())) {
		unlink(path_of(s, domain, a).ptr);
		free_known(k);
		k = NULL;
	}
	if (k != NULL)
		remember(s, domain, k);
	return k;
}

/* A fetch went wrong: not again at once; what was promised holds. */
static void note_failure(struct mta_sts *s, struct str domain, struct arena *a)
{
	struct known *k = recall(s, domain, a);

	if (k == NULL) {
		struct arena *own = arena_new(SIZE_MAX);

		k = arena_make(own, struct known);
		k->a = own;
		remember(s, domain, k);
	}
	k->failed = clock_unix();
}

/* ---- what the domain says now ---- */

/* Exactly one record, or there is none: 3.1 */
static bool find_id(
	struct mta_sts *s, struct str domain, struct arena *a, struct str *id_r)
{
	struct strs texts = {0};
	struct fault f;
	unsigned n = 0;

	if (resolver_txt(s->resolver,
		    arena_printf(a, "_mta-sts.%.*s", STR_ARG(domain)), a,
		    &texts, &f) != DNS_OK)
		return false;
	for (size_t i = 0; i < texts.n; i++) {
		struct str id;

		if (!str_starts(texts.v[i], "v=STSv1"))
			continue;
		if (++n == 1 && mta_sts_record_parse(texts.v[i], &id))
			*id_r = id;
	}
	return n == 1 && str_present(*id_r);
}

static bool fetch(struct mta_sts *s, struct str domain, struct arena *a,
	struct buf *body, struct str *why_r)
{
	struct web_request q = {.resolver = s->resolver,
		.url = arena_printf(a,
			"https://mta-sts.%.*s/.well-known/mta-sts.txt",
			STR_ARG(domain))
			       .ptr,
		.protocols = "https",
		.ca_file = s->ca_file,
		.ca_path = s->ca_path,
		.connect_ms = CONNECT_MS,
		.total_ms = TOTAL_MS};
	struct str type;
	struct fault f;
	long status = 0;

	if (!web_ask(&q, a, body, &status, &type, &f))
		*why_r = arena_str(a, str_from(f.text));
	else if (status != 200)
		*why_r = arena_printf(a, "HTTP status %ld", status);
	else if (!str_istarts(type, "text/plain"))
		*why_r = STR("it is no text/plain");
	else
		return true;
	return false;
}

/* Replaces what is known, or notes that it could not be had. */
static void renew(struct mta_sts *s, struct str domain, struct str id,
	struct arena *a, struct str *why_r)
{
	struct buf body CLEANUP(buf_fini);
	struct known *fresh = NULL;

	buf_init(&body, POLICY_BYTES);
	if (fetch(s, domain, a, &body, why_r)) {
		fresh = make_known(id, clock_unix(), buf_str(&body));
		if (fresh == NULL)
			*why_r = STR("the policy cannot be read");
		else
			save(s, domain, fresh, buf_str(&body), a);
	}
	pthread_mutex_lock(&s->lock);
	if (fresh != NULL)
		remember(s, domain, fresh);
	else
		note_failure(s, domain, a);
	pthread_mutex_unlock(&s->lock);
}

struct mta_sts_policy mta_sts_of(struct mta_sts *s, struct str domain,
	struct arena *a, struct str *why_r)
{
	struct mta_sts_policy policy = {0};
	struct str id = STR_NONE;
	int64_t now = clock_unix();
	bool stale;

	*why_r = STR_NONE;
	domain = arena_lower(a, domain);
	if (!smtp_domain_valid(domain, true) || str_find(domain, '.') < 0)
		return policy;
	bool announced = find_id(s, domain, a, &id);
	pthread_mutex_lock(&s->lock);
	struct known *k = recall(s, domain, a);
	stale = !is_alive(k, now) || !str_eq(k->id, id) ||
		now > k->fetched + FRESH_S;
	bool wait = k != NULL && k->failed > 0 && now < k->failed + AGAIN_S;
	pthread_mutex_unlock(&s->lock);
	if (announced && stale && !wait)
		renew(s, domain, id, a, why_r);
	/* 3.3: without news the old one holds until it ends. */
	pthread_mutex_lock(&s->lock);
	k = recall(s, domain, a);
	if (is_alive(k, now))
		policy = copy(&k->policy, a);
	pthread_mutex_unlock(&s->lock);
	return policy;
}
