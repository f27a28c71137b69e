/* SPDX-License-Identifier: ISC */
#include "role/auth/failures.h"

#include <pthread.h>
#include <string.h>

#include "base/must.h"
#include "sys/clock.h"

enum { ROWS = 2048, COLUMNS = 4, SEEN = 8 };

struct entry {
	struct client_net net;
	int64_t since_s; /* the window's begin */
	int64_t last_s;
	int64_t count;
	uint64_t seen[SEEN]; /* the last attempts */
	unsigned next_seen;
};

struct failures {
	pthread_mutex_t lock;
	int64_t limit, window_s;
	uint64_t seed; /* nobody can choose networks of one row */
	struct entry entries[ROWS][COLUMNS];
};

struct failures *failures_new(int64_t limit, int64_t window_s)
{
	struct failures *f = must_alloc(sizeof(*f));

	pthread_mutex_init(&f->lock, NULL);
	f->limit = limit;
	f->window_s = window_s;
	f->seed = random_u64();
	return f;
}

static struct entry *row_of(struct failures *f, const struct client_net *net)
{
	uint64_t h = f->seed;

	for (size_t i = 0; i < net->len; i++)
		h = (h ^ net->bytes[i]) * 0x9e3779b97f4a7c15ULL;
	return f->entries[(h >> 32) % ROWS];
}

static struct entry *find(
	struct failures *f, const struct client_net *net, int64_t now_s)
{
	struct entry *row = row_of(f, net);

	for (size_t i = 0; i < COLUMNS; i++)
		if (row[i].net.len == net->len &&
			memcmp(row[i].net.bytes, net->bytes, net->len) == 0 &&
			row[i].since_s + f->window_s > now_s)
			return &row[i];
	return NULL;
}

/* The place of who was quiet for longest. */
static struct entry *begin(
	struct failures *f, const struct client_net *net, int64_t now_s)
{
	struct entry *row = row_of(f, net);
	struct entry *oldest = &row[0];

	for (size_t i = 1; i < COLUMNS; i++)
		if (row[i].last_s < oldest->last_s)
			oldest = &row[i];
	*oldest = (struct entry){.net = *net, .since_s = now_s};
	return oldest;
}

bool failures_over(
	struct failures *f, const struct client_net *net, int64_t now_s)
{
	if (f->limit <= 0 || net->len == 0)
		return false;
	pthread_mutex_lock(&f->lock);
	const struct entry *e = find(f, net, now_s);
	bool over = e != NULL && e->count >= f->limit;
	pthread_mutex_unlock(&f->lock);
	return over;
}

static bool was_seen(struct entry *e, uint64_t what)
{
	for (size_t i = 0; i < SEEN; i++)
		if (what != 0 && e->seen[i] == what)
			return true;
	e->seen[e->next_seen++ % SEEN] = what;
	return false;
}

bool failures_add(struct failures *f, const struct client_net *net,
	uint64_t what, int64_t now_s)
{
	bool over = false;

	if (f->limit <= 0 || net->len == 0)
		return false;
	pthread_mutex_lock(&f->lock);
	struct entry *e = find(f, net, now_s);
	if (e == NULL)
		e = begin(f, net, now_s);
	e->last_s = now_s;
	if (!was_seen(e, what))
		over = ++e->count == f->limit;
	pthread_mutex_unlock(&f->lock);
	return over;
}
