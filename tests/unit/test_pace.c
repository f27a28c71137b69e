/* SPDX-License-Identifier: ISC */
#include "tests/unit/test.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "net/pace.h"

enum { FAR = 100000 };

/* Ticks until it is time, and what is decided then. */
static bool decision(
	struct pace *p, unsigned looks, unsigned events_each, int64_t late_us)
{
	for (unsigned i = 0; i < looks; i++)
		pace_found(p, events_each);
	for (int i = 0; !pace_tick(p, late_us); i++)
		assert_true(i < FAR);
	p->batch = pace_decide(p);
	return p->batch;
}

/* One thing at a time, however many, or a few things in all: as everybody. */
static void little(void **state UNUSED)
{
	struct pace p = pace_new();

	assert_false(decision(&p, 0, 0, 60));
	assert_false(decision(&p, 5000, 1, 60));
	assert_false(decision(&p, 1, 4, 60));
}

static void much(void **state UNUSED)
{
	struct pace p = pace_new();

	assert_true(decision(&p, 200, 3, 60));
	assert_true(decision(&p, 200, 3, 300));
	assert_false(decision(&p, 200, 1, 60));
}

/* Turns that are long in coming, not once but again: for a while not. */
static void others(void **state UNUSED)
{
	struct pace p = pace_new();
	int rests = 0;

	assert_true(decision(&p, 200, 3, 60));
	assert_true(decision(&p, 200, 3, 3000));
	assert_true(decision(&p, 200, 3, 60));
	assert_true(decision(&p, 200, 3, 3000));
	assert_false(decision(&p, 200, 3, 3000));
	while (!decision(&p, 200, 3, 60))
		assert_true(++rests < FAR);
	assert_true(rests > 10);
	assert_true(decision(&p, 200, 3, 60));
}

/* The administrator's choice stays. */
static void given(void **state UNUSED)
{
	const struct sched_param none = {0};
	struct pace p;

	assert_int_equal(0, sched_setscheduler(0, SCHED_BATCH, &none));
	p = pace_new();
	assert_int_equal(0, sched_setscheduler(0, SCHED_OTHER, &none));
	assert_false(decision(&p, 200, 3, 60));
}

static pthread_barrier_t both;

static void *stay(void *unused UNUSED)
{
	pthread_barrier_wait(&both);
	pthread_barrier_wait(&both);
	return NULL;
}

static void assert_all(int policy)
{
	DIR *d = opendir("/proc/self/task");
	int n = 0;

	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		if (e->d_name[0] == '.')
			continue;
		assert_int_equal(policy, sched_getscheduler(atoi(e->d_name)));
		n++;
	}
	closedir(d);
	assert_true(n >= 2); /* a sanitizer may have its own */
}

static void all_threads(void **state UNUSED)
{
	struct pace p = pace_new();
	pthread_t t;

	pthread_barrier_init(&both, NULL, 2);
	assert_int_equal(0, pthread_create(&t, NULL, stay, NULL));
	pthread_barrier_wait(&both);
	pace_set(&p, true);
	assert_true(p.batch);
	assert_all(SCHED_BATCH);
	pace_set(&p, false);
	assert_all(SCHED_OTHER);
	pthread_barrier_wait(&both);
	pthread_join(t, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(little),
		cmocka_unit_test(much), cmocka_unit_test(others),
		cmocka_unit_test(given), cmocka_unit_test(all_threads)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
