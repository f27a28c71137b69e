/* SPDX-License-Identifier: ISC */
#include "tests/unit/test.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/must.h"
#include "sys/clock.h"

enum { THREADS = 4, EACH = 200000 };

static void *make_ids(void *ctx)
{
	uint64_t *v = ctx;

	for (size_t i = 0; i < EACH; i++)
		v[i] = id_new();
	return NULL;
}

static int by_number(const void *x, const void *y)
{
	const uint64_t *a = x, *b = y;

	return *a < *b ? -1 : *a > *b;
}

/* Several in one microsecond, by several threads: each its own. */
static void unlike(void **state UNUSED)
{
	uint64_t *v = must_alloc(THREADS * EACH * sizeof(*v));
	pthread_t t[THREADS];

	id_lane(5);
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(
			0, pthread_create(&t[i], NULL, make_ids, v + i * EACH));
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	for (size_t i = 1; i < EACH; i++)
		assert_true(v[i] > v[i - 1]);
	qsort(v, THREADS * EACH, sizeof(*v), by_number);
	for (size_t i = 1; i < THREADS * EACH; i++)
		assert_true(v[i] != v[i - 1]);
	free(v);
}

static void lanes(void **state UNUSED)
{
	id_lane(7);
	assert_int_equal(id_new() >> 6 & 63, 7);
	id_lane(64 + 9);
	assert_int_equal(id_new() >> 6 & 63, 9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unlike), cmocka_unit_test(lanes)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
