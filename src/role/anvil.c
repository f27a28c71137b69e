/* SPDX-License-Identifier: ISC */
#include "role/anvil.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "base/must.h"
#include "role/role.h"
#include "sys/clock.h"

enum { BUCKETS = 2048, WAYS = 8, VERSION = 1, GREY_KEEP_MS = 3600000 };

struct entry {
	struct anvil_key key; /* len 0: free */
	int64_t window_ms; /* start of the counts */
	int64_t passed_ms[ANVIL_PASSES]; /* until when, Unix time; 0: never */
	int64_t grey_ms; /* first seen; 0: never */
	uint32_t counts[ANVIL_EVENTS];
	uint16_t open[BOARD_SLOTS]; /* by process */
};

struct bucket {
	pthread_mutex_t lock; /* shared, robust */
	struct entry v[WAYS];
};

/* The file: who reads one of another version begins anew. */
struct table {
	char magic[8];
	uint32_t version;
	uint32_t entry_bytes;
	struct bucket buckets[BUCKETS];
};

static const char magic[8] = "postanv";

struct anvil {
	struct bucket *buckets;
	unsigned slot;
	int64_t window_ms;
};

static int64_t unix_ms(void)
{
	return clock_unix_us() / 1000;
}

size_t anvil_bytes(void)
{
	return sizeof(struct table);
}

/* Counts and locks are of processes that are gone. */
static void clear_counts(struct entry *e)
{
	memset(e->counts, 0, sizeof(e->counts));
	memset(e->open, 0, sizeof(e->open));
	e->window_ms = 0;
}

void anvil_init(void *memory)
{
	struct table *t = memory;
	pthread_mutexattr_t attr;
	bool known = memcmp(t->magic, magic, sizeof(magic)) == 0 &&
		     t->version == VERSION &&
		     t->entry_bytes == sizeof(struct entry);

	if (!known)
		memset(t, 0, sizeof(*t));
	memcpy(t->magic, magic, sizeof(magic));
	t->version = VERSION;
	t->entry_bytes = sizeof(struct entry);
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	for (size_t i = 0; i < BUCKETS; i++) {
		struct bucket *b = &t->buckets[i];

		memset(&b->lock, 0, sizeof(b->lock));
		pthread_mutex_init(&b->lock, &attr);
		for (size_t k = 0; k < WAYS; k++)
			clear_counts(&b->v[k]);
	}
	pthread_mutexattr_destroy(&attr);
}

/* Who held it may have died: counts are good enough as they stand. */
static void lock(struct bucket *b)
{
	if (pthread_mutex_lock(&b->lock) == EOWNERDEAD)
		pthread_mutex_consistent(&b->lock);
}

struct anvil *anvil_attach(void *memory, unsigned slot)
{
	struct anvil *a = must_alloc(sizeof(*a));

	must(slot < BOARD_SLOTS);
	struct table *t = memory;
	a->buckets = t->buckets;
	a->slot = slot;
	a->window_ms = 60000;
	for (size_t i = 0; i < BUCKETS; i++) {
		lock(&a->buckets[i]);
		for (size_t k = 0; k < WAYS; k++)
			a->buckets[i].v[k].open[slot] = 0;
		pthread_mutex_unlock(&a->buckets[i].lock);
	}
	return a;
}

void anvil_set_window(struct anvil *a, int64_t seconds)
{
	a->window_ms = seconds > 0 ? seconds * 1000 : 1000;
}

struct anvil_key anvil_key(const char *service, const unsigned char *addr,
	size_t len, unsigned prefix)
{
	struct anvil_key k = {.len = (unsigned char)len};

	k.service = 14695981039346656037ULL; /* FNV-1a */
	for (; *service != '\0'; service++)
		k.service = (k.service ^ (unsigned char)*service) *
			    1099511628211ULL;
	for (size_t i = 0; i < len && i < sizeof(k.net); i++) {
		unsigned left = prefix > i * 8 ? prefix - (unsigned)i * 8 : 0;

		k.net[i] =
			left >= 8
				? addr[i]
				: (unsigned char)(addr[i] & (0xff00u >> left));
	}
	return k;
}

static bool same(const struct anvil_key *a, const struct anvil_key *b)
{
	return a->service == b->service && a->len == b->len &&
	       memcmp(a->net, b->net, sizeof(a->net)) == 0;
}

static struct bucket *bucket_of(struct anvil *a, const struct anvil_key *k)
{
	uint64_t h = k->service;

	for (size_t i = 0; i < sizeof(k->net); i++)
		h = (h ^ k->net[i]) * 1099511628211ULL;
	return &a->buckets[(h >> 20) % BUCKETS];
}

static unsigned open_now(const struct entry *e)
{
	unsigned n = 0;

	for (size_t i = 0; i < BOARD_SLOTS; i++)
		n += e->open[i];
	return n;
}

/* Until when something is worth remembering. */
static int64_t known_until(const struct entry *e)
{
	int64_t until = e->grey_ms > 0 ? e->grey_ms + GREY_KEEP_MS : 0;

	for (size_t i = 0; i < ANVIL_PASSES; i++)
		if (e->passed_ms[i] > until)
			until = e->passed_ms[i];
	return until;
}

/* Under the lock: the entry of k, made when there is room; NULL. */
static struct entry *find(
	struct anvil *a, struct bucket *b, const struct anvil_key *k)
{
	int64_t now = clock_mono_ms();
	struct entry *victim = NULL;
	int best = 0;

	for (size_t i = 0; i < WAYS; i++) {
		struct entry *e = &b->v[i];
		bool over = now - e->window_ms >= a->window_ms;

		if (e->key.len != 0 && same(&e->key, k)) {
			if (over) {
				memset(e->counts, 0, sizeof(e->counts));
				e->window_ms = now;
			}
			return e;
		}
		/* Who is there goes before who passed and will come again. */
		int rank = e->key.len == 0              ? 3
			   : !over || open_now(e) > 0   ? 0
			   : known_until(e) < unix_ms() ? 2
							: 1;
		if (rank > best) {
			best = rank;
			victim = e;
		}
	}
	if (victim == NULL)
		return NULL;
	memset(victim, 0, sizeof(*victim));
	victim->key = *k;
	victim->window_ms = now;
	return victim;
}

unsigned anvil_open(
	struct anvil *a, const struct anvil_key *k, unsigned *rate_r)
{
	struct bucket *b = bucket_of(a, k);
	unsigned n = 0;

	*rate_r = 0;
	lock(b);
	struct entry *e = find(a, b, k);
	if (e != NULL) {
		if (e->open[a->slot] < UINT16_MAX)
			e->open[a->slot]++;
		*rate_r = ++e->counts[ANVIL_CONNECTION];
		n = open_now(e);
	}
	pthread_mutex_unlock(&b->lock);
	return n;
}

void anvil_close(struct anvil *a, const struct anvil_key *k)
{
	struct bucket *b = bucket_of(a, k);

	lock(b);
	for (size_t i = 0; i < WAYS; i++)
		if (b->v[i].key.len != 0 && same(&b->v[i].key, k) &&
			b->v[i].open[a->slot] > 0)
			b->v[i].open[a->slot]--;
	pthread_mutex_unlock(&b->lock);
}

unsigned anvil_count(
	struct anvil *a, const struct anvil_key *k, enum anvil_event event)
{
	struct bucket *b = bucket_of(a, k);
	unsigned n = 0;

	lock(b);
	struct entry *e = find(a, b, k);
	if (e != NULL)
		n = ++e->counts[event];
	pthread_mutex_unlock(&b->lock);
	return n;
}

/* Under the lock; NULL: nothing is known. */
static struct entry *look(struct bucket *b, const struct anvil_key *k)
{
	for (size_t i = 0; i < WAYS; i++)
		if (b->v[i].key.len != 0 && same(&b->v[i].key, k))
			return &b->v[i];
	return NULL;
}

bool anvil_passed(
	struct anvil *a, const struct anvil_key *k, enum anvil_pass pass)
{
	struct bucket *b = bucket_of(a, k);

	lock(b);
	const struct entry *e = look(b, k);
	bool passed = e != NULL && e->passed_ms[pass] > unix_ms();
	pthread_mutex_unlock(&b->lock);
	return passed;
}

void anvil_pass(struct anvil *a, const struct anvil_key *k,
	enum anvil_pass pass, int64_t seconds)
{
	struct bucket *b = bucket_of(a, k);

	lock(b);
	struct entry *e = find(a, b, k);
	if (e != NULL)
		e->passed_ms[pass] = unix_ms() + seconds * 1000;
	pthread_mutex_unlock(&b->lock);
}

bool anvil_greylist(struct anvil *a, const struct anvil_key *k,
	const struct greylist *g, int64_t *wait_r)
{
	struct bucket *b = bucket_of(a, k);
	int64_t now = unix_ms();
	bool in = true; /* without room nobody is kept waiting */

	*wait_r = 0;
	lock(b);
	struct entry *e = find(a, b, k);
	if (e != NULL) {
		bool known = e->passed_ms[PASS_GREYLIST] > now;

		if (!known && (e->grey_ms == 0 ||
				      now - e->grey_ms > g->window * 1000))
			e->grey_ms = now;
		int64_t left = e->grey_ms + g->delay * 1000 - now;
		in = known || left <= 0;
		if (in) {
			e->passed_ms[PASS_GREYLIST] = now + g->ttl * 1000;
			e->grey_ms = 0;
		} else {
			*wait_r = (left + 999) / 1000;
		}
	}
	pthread_mutex_unlock(&b->lock);
	return in;
}
