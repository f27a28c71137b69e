/* SPDX-License-Identifier: ISC */
/*
 * What was learned of sites, kept over restarts: sites.db.  It is not flushed:
 * who loses it learns again.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"
#include "db/db.h"
#include "role/queue/sched_private.h"
#include "sys/clock.h"

enum { SITES_MAX = 20000, UNUSED_S = 7 * 86400 };

static const char schema_1[] =
	"CREATE TABLE sites(name TEXT PRIMARY KEY, window REAL NOT NULL,"
	" steady INT NOT NULL, failures INT NOT NULL, closed INT NOT NULL,"
	" good INT NOT NULL, bad INT NOT NULL, last TEXT, own INT NOT NULL, "
	"moved TEXT,"
	" used INT NOT NULL) WITHOUT ROWID";
static const char schema_2[] =
	"CREATE TABLE sources(address TEXT PRIMARY KEY, day INT NOT NULL,"
	" n INT NOT NULL) WITHOUT ROWID";
static const char *const schema[] = {schema_1, schema_2};

struct sites_file {
	pthread_mutex_t lock;
	struct db *db;
};

static char *heap_or_null(struct str s)
{
	return str_present(s) ? str_heap(s) : NULL;
}

static bool load(struct sites_file *x, struct sched *s, struct fault *f)
{
	sqlite3_stmt *row = db_query(x->db, f,
		"SELECT name, CAST(window * 1000 AS INT), steady, failures,"
		" closed, good, bad, last, moved, used, own FROM sites"
		" WHERE used > ? ORDER BY used DESC LIMIT ?",
		"ii", clock_unix() - UNUSED_S, (int64_t)SITES_MAX);
	int got;

	while ((got = db_step(x->db, row, f)) > 0) {
		struct site *site = site_get(s, db_text(row, 0));

		site->window = (double)db_int(row, 1) / 1000;
		site->steady = db_int(row, 2) != 0;
		site->failures = (unsigned)db_int(row, 3);
		site->closed_until = db_int(row, 4);
		site->good = (uint64_t)db_int(row, 5);
		site->bad = (uint64_t)db_int(row, 6);
		site->last = heap_or_null(db_text(row, 7));
		site->moved_to = heap_or_null(db_text(row, 8));
		site->used = db_int(row, 9);
		site->own = db_int(row, 10) != 0;
	}
	return got == 0;
}

static bool load_sources(struct sites_file *x, struct sched *s, struct fault *f)
{
	sqlite3_stmt *row =
		db_query(x->db, f, "SELECT address, day, n FROM sources", "");
	int got;

	while ((got = db_step(x->db, row, f)) > 0)
		source_carried(s, db_text(row, 0), db_int(row, 1),
			(uint32_t)db_int(row, 2));
	return got == 0;
}

struct sites_file *sites_file_open(
	struct sched *s, const char *dir, struct fault *f)
{
	struct sites_file *x = must_alloc(sizeof(*x));
	char path[4096];

	pthread_mutex_init(&x->lock, NULL);
	snprintf(path, sizeof(path), "%s/sites.db", dir);
	x->db = db_open(path, DB_LOOSE, f);
	if (x->db == NULL || !db_schema(x->db, schema, ARRAY_LEN(schema), f) ||
		!load(x, s, f) || !load_sources(x, s, f)) {
		db_close(x->db);
		free(x);
		return NULL;
	}
	return x;
}

/* ---- keeping ---- */

struct copy {
	struct str name, last, moved_to;
	struct site site;
};

/* Lock held: what has changed, and who may be forgotten is. */
static size_t collect(struct sched *s, struct arena *a, struct copy **v_r)
{
	struct copy *v = arena_alloc(a, s->n_sites * sizeof(*v));
	int64_t oldest = clock_unix() - UNUSED_S;
	size_t n = 0;

	for (struct site *site = s->sites, *next; site != NULL; site = next) {
		next = site->next;
		if (site->changed)
			v[n++] = (struct copy){arena_str(a, site->name),
				arena_str(a,
					str_from(site->last != NULL ? site->last
								    : "")),
				site->moved_to != NULL
					? arena_str(a, str_from(site->moved_to))
					: STR_NONE,
				*site};
		site->changed = false;
		if (site->dests == NULL && site->in_flight == 0 &&
			(site->used < oldest || s->n_sites > SITES_MAX ||
				(site->good == 0 && site->bad == 0 &&
					site->moved_to == NULL)))
			site_free(s, site);
	}
	*v_r = v;
	return n;
}

static bool keep_one(struct db *db, const struct copy *c, struct fault *f)
{
	return db_run(db, f,
		"INSERT OR REPLACE INTO sites(name, window, steady, failures,"
		" closed, good, bad, last, moved, used, own)"
		" VALUES(?, ? / 1000.0, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		"tiiiiiittii", c->name, (int64_t)(c->site.window * 1000),
		(int64_t)c->site.steady, (int64_t)c->site.failures,
		c->site.closed_until, (int64_t)c->site.good,
		(int64_t)c->site.bad, c->last, c->moved_to, c->site.used,
		(int64_t)c->site.own);
}

struct carried_copy {
	struct str address;
	struct carried carried;
};

struct copies {
	struct arena *a;
	struct copy *v; /* of sites */
	size_t n;
	struct carried_copy *carried;
	size_t n_carried;
};

static void collect_carried(struct str address, void *value, void *ctx)
{
	struct carried *x = value;
	struct copies *c = ctx;

	if (x->changed)
		c->carried[c->n_carried++] =
			(struct carried_copy){arena_str(c->a, address), *x};
	x->changed = false;
}

static bool keep_all(struct db *db, const struct copies *c, struct fault *f)
{
	for (size_t i = 0; i < c->n; i++)
		if (!keep_one(db, &c->v[i], f))
			return false;
	for (size_t i = 0; i < c->n_carried; i++)
		if (!db_run(db, f,
			    "INSERT OR REPLACE INTO sources(address, day, n)"
			    " VALUES(?, ?, ?)",
			    "tii", c->carried[i].address,
			    c->carried[i].carried.day,
			    (int64_t)c->carried[i].carried.n))
			return false;
	return db_run(db, f, "DELETE FROM sites WHERE used < ?", "i",
		clock_unix() - UNUSED_S);
}

void sites_file_keep(struct sites_file *x, struct sched *s)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct copies c = {.a = a};
	struct fault f, ignored;

	pthread_mutex_lock(&s->lock);
	c.n = collect(s, a, &c.v);
	c.carried = arena_alloc(
		a, (map_count(s->carried) + 1) * sizeof(*c.carried));
	map_each(s->carried, collect_carried, &c);
	pthread_mutex_unlock(&s->lock);
	if (c.n + c.n_carried == 0)
		return;
	pthread_mutex_lock(&x->lock);
	bool ok = db_exec(x->db, "BEGIN", &f) && keep_all(x->db, &c, &f) &&
		  db_exec(x->db, "COMMIT", &f);
	if (!ok) {
		db_exec(x->db, "ROLLBACK", &ignored);
		log_warn("sites.db", log_fault(&f));
	}
	pthread_mutex_unlock(&x->lock);
}
