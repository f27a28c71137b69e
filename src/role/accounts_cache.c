/* SPDX-License-Identifier: ISC */
#include "role/accounts_cache.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/map.h"
#include "base/must.h"
#include "sys/clock.h"

enum { ENTRIES_MAX = 20000, FILES = 2, PATH_BYTES = 4096 };
/* Coarser than any file system's clock that we meet. */
enum { SETTLED_US = 100000, LOOK_MS = 10 };

struct stamp {
	int64_t size, seconds, nanoseconds; /* -1: no such file */
};

struct answer {
	enum table_result result;
	struct str value;
};

struct accounts_cache {
	pthread_mutex_t lock;
	char paths[FILES][PATH_BYTES];
	struct stamp stamps[FILES];
	uint64_t version; /* counts the changes of stamps */
	int64_t looked_ms; /* at the files */
	bool settled; /* the files are older than the clock's steps */
	struct arena *a; /* of the answers */
	struct map *answers;
};

struct accounts_cache *accounts_cache_new(const char *data_dir)
{
	static const char *const suffixes[FILES] = {"", "-wal"};
	struct accounts_cache *c = must_alloc(sizeof(*c));

	pthread_mutex_init(&c->lock, NULL);
	for (size_t i = 0; i < FILES; i++)
		snprintf(c->paths[i], PATH_BYTES, "%s/accounts/accounts.db%s",
			data_dir, suffixes[i]);
	c->a = arena_new(SIZE_MAX);
	c->answers = map_new();
	return c;
}

static struct stamp stamp_of(const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return (struct stamp){-1, -1, -1};
	return (struct stamp){
		st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec};
}

static void forget(struct accounts_cache *c)
{
	map_free(c->answers, NULL);
	c->answers = map_new();
	arena_trim(c->a);
}

/* Under the lock. */
static void look_at_files(struct accounts_cache *c)
{
	struct stamp now[FILES];
	int64_t clock = clock_unix_us();

	/* One command asks several times: it may see one directory. */
	if (clock_mono_ms() - c->looked_ms < LOOK_MS)
		return;
	c->looked_ms = clock_mono_ms();
	for (size_t i = 0; i < FILES; i++)
		now[i] = stamp_of(c->paths[i]);
	if (memcmp(now, c->stamps, sizeof(now)) != 0) {
		memcpy(c->stamps, now, sizeof(now));
		c->version++;
		forget(c);
	}
	c->settled = true;
	for (size_t i = 0; i < FILES; i++)
		c->settled &= clock - (now[i].seconds * 1000000 +
					      now[i].nanoseconds / 1000) >
			      SETTLED_US;
}

bool accounts_cache_get(struct accounts_cache *c, struct str key,
	struct arena *a, enum table_result *result_r, struct str *value_r,
	uint64_t *version_r)
{
	pthread_mutex_lock(&c->lock);
	look_at_files(c);
	const struct answer *x = map_get(c->answers, key);
	if (x != NULL) {
		*result_r = x->result;
		if (x->result == TABLE_FOUND)
			*value_r = arena_str(a, x->value);
	}
	*version_r = c->version;
	pthread_mutex_unlock(&c->lock);
	return x != NULL;
}

void accounts_cache_put(struct accounts_cache *c, struct str key,
	enum table_result r, struct str value, uint64_t version)
{
	pthread_mutex_lock(&c->lock);
	if (map_count(c->answers) >= ENTRIES_MAX)
		forget(c);
	if (c->settled && c->version == version) {
		struct answer *x = arena_make(c->a, struct answer);

		x->result = r;
		if (r == TABLE_FOUND)
			x->value = arena_str(c->a, value);
		map_set(c->answers, key, x);
	}
	pthread_mutex_unlock(&c->lock);
}
