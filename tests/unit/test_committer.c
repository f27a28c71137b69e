/* SPDX-License-Identifier: ISC */
/* Group commit: whose failure concerns whom.  All works of a test are posted
 * while another one holds the lead, so that they are one batch. */
#include "db/db.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/must.h"
#include "tests/unit/test.h"

enum { WORKS_MAX = 8, FULL_ROW = 1 << 20 };

enum does {
	GOES_WELL,
	FAILS_BEFORE, /* it changed anything */
	FAILS_BEHIND,
	FILLS_THE_DISK,
};

struct world {
	char dir[32], path[64];
	struct committer *c;
	sem_t led, may_end, told;
	struct one {
		struct world *w;
		enum does does;
		bool ok;
		struct fault f;
		int64_t number;
	} v[WORKS_MAX];
	size_t n;
};

static bool insert(struct db *db, int64_t number, struct fault *f)
{
	return db_run(db, f, "INSERT INTO t VALUES(?, NULL)", "i", number);
}

static bool work(struct db *db, void *ctx, struct fault *f)
{
	struct one *x = ctx;

	if (x->does == FAILS_BEFORE)
		return fault_set(f, FAULT_PERM, 552, 2, 2, "before");
	if (x->does == FILLS_THE_DISK)
		return db_run(db, f, "INSERT INTO t VALUES(?, zeroblob(?))",
			"ii", x->number, (int64_t)FULL_ROW);
	if (!insert(db, x->number, f))
		return false;
	return x->does != FAILS_BEHIND ||
	       fault_set(f, FAULT_PERM, 552, 2, 2, "behind");
}

static void done(void *ctx, bool ok, const struct fault *f)
{
	struct one *x = ctx;

	x->ok = ok;
	x->f = *f;
	sem_post(&x->w->told);
}

static bool hold_lead(struct db *db UNUSED, void *ctx, struct fault *f UNUSED)
{
	struct world *w = ctx;

	sem_post(&w->led);
	sem_wait(&w->may_end);
	return true;
}

static void *lead(void *ctx)
{
	struct world *w = ctx;
	struct fault f;

	assert_true(committer_run(w->c, hold_lead, w, &f));
	return NULL;
}

static struct world *begin(void)
{
	struct world *w = must_alloc(sizeof(*w));
	struct fault f;

	snprintf(w->dir, sizeof(w->dir), "/tmp/postern-commit-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(w->path, sizeof(w->path), "%s/t.db", w->dir);
	struct db *db = db_open(w->path, DB_WRITE, &f);
	assert_non_null(db);
	assert_true(db_exec(db,
		"CREATE TABLE t(n INT, b BLOB); PRAGMA max_page_count=64", &f));
	w->c = committer_new(db);
	sem_init(&w->led, 0, 0);
	sem_init(&w->may_end, 0, 0);
	sem_init(&w->told, 0, 0);
	return w;
}

static void post(struct world *w, bool tidy, enum does does)
{
	struct one *x = &w->v[w->n];

	*x = (struct one){.w = w, .does = does, .number = 1 << w->n};
	w->n++;
	committer_post(w->c, tidy ? POST_TIDY : 0, work, x, done);
}

/* Posts the batch by fill and waits until all were told; the sum of what is on
 * disk then: a bit for each that came. */
static int64_t batch(struct world *w, void (*fill)(struct world *w))
{
	pthread_t leader;
	int64_t sum = 0;
	struct fault f;

	assert_int_equal(pthread_create(&leader, NULL, lead, w), 0);
	sem_wait(&w->led);
	fill(w);
	sem_post(&w->may_end);
	for (size_t i = 0; i < w->n; i++)
		sem_wait(&w->told);
	pthread_join(leader, NULL);
	struct db *db = db_open(w->path, DB_READ, &f);
	assert_true(db_number(db, &f, &sum, "SELECT sum(n) FROM t", ""));
	db_close(db);
	return sum;
}

static void end(struct world *w)
{
	char command[80];

	committer_free(w->c);
	snprintf(command, sizeof(command), "rm -r %s", w->dir);
	assert_int_equal(system(command), 0);
	free(w);
}

static void some_fail_alone(struct world *w)
{
	post(w, true, GOES_WELL);
	post(w, true, FAILS_BEFORE);
	post(w, false, FAILS_BEHIND);
	post(w, false, GOES_WELL);
	post(w, false, FAILS_BEFORE);
	post(w, true, GOES_WELL);
}

static void a_failure_is_of_one(void **state UNUSED)
{
	struct world *w = begin();

	assert_int_equal(batch(w, some_fail_alone), 1 + 8 + 32);
	for (size_t i = 0; i < w->n; i++) {
		assert_int_equal(w->v[i].ok, w->v[i].does == GOES_WELL);
		if (!w->v[i].ok)
			assert_int_equal(w->v[i].f.class, FAULT_PERM);
	}
	end(w);
}

static void one_was_not_tidy(struct world *w)
{
	post(w, true, GOES_WELL);
	post(w, false, FAILS_BEFORE);
	post(w, false, GOES_WELL);
	post(w, true, FAILS_BEHIND);
	post(w, true, FAILS_BEFORE);
	post(w, false, GOES_WELL);
	post(w, true, GOES_WELL);
}

static void what_was_changed_half_costs_one(void **state UNUSED)
{
	struct world *w = begin();

	/* What was run before that and is not tidy is not run twice. */
	assert_int_equal(batch(w, one_was_not_tidy), 1 + 32 + 64);
	for (size_t i = 0; i < w->n; i++)
		assert_int_equal(
			w->v[i].ok, ((1 + 32 + 64) & w->v[i].number) != 0);
	/* Who had failed by itself keeps its reason. */
	assert_string_equal(w->v[1].f.text, "before");
	assert_int_equal(w->v[2].f.class, FAULT_TEMP);
	assert_string_equal(w->v[3].f.text, "behind");
	assert_string_equal(w->v[4].f.text, "before");
	w->n = 0;
	assert_int_equal(batch(w, some_fail_alone), 97 + 1 + 8 + 32);
	end(w);
}

static void the_disk_is_full(struct world *w)
{
	post(w, true, GOES_WELL);
	post(w, false, FILLS_THE_DISK);
	post(w, true, FILLS_THE_DISK);
	post(w, true, GOES_WELL);
}

/* Whether it ends the transaction is SQLite's to say: who was told that it went
 * well is there, and nobody else. */
static void a_full_disk_is_told_as_it_is(void **state UNUSED)
{
	struct world *w = begin();
	int64_t there = batch(w, the_disk_is_full);

	for (size_t i = 0; i < w->n; i++) {
		assert_int_equal(w->v[i].ok, (there & w->v[i].number) != 0);
		assert_true(w->v[i].ok || w->v[i].f.class == FAULT_TEMP);
	}
	assert_false(w->v[1].ok || w->v[2].ok);
	w->n = 0;
	int64_t more = batch(w, some_fail_alone);
	assert_int_equal(more, there + 1 + 8 + 32);
	end(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_failure_is_of_one),
		cmocka_unit_test(what_was_changed_half_costs_one),
		cmocka_unit_test(a_full_disk_is_told_as_it_is),
	};

	db_configure();
	return cmocka_run_group_tests_name("committer", tests, NULL, NULL);
}
