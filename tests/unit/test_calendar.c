/* SPDX-License-Identifier: ISC */
/* The calendar of the queue against a plain list. */
#include "role/queue/calendar.h"

#include <stdlib.h>

#include "tests/unit/test.h"

enum { IDS = 400, STEPS = 200000 };

struct plain {
	bool there;
	int64_t due;
	uint32_t flags;
};

static int64_t earliest(const struct plain *v, size_t *n_r)
{
	int64_t due = 0;

	*n_r = 0;
	for (size_t i = 0; i < IDS; i++)
		if (v[i].there) {
			if (*n_r == 0 || v[i].due < due)
				due = v[i].due;
			(*n_r)++;
		}
	return due;
}

static void same_as_a_list(void **state UNUSED)
{
	struct calendar *c = calendar_new();
	struct plain v[IDS] = {0};
	struct calendar_entry e;
	size_t n;

	srandom(1);
	for (int step = 0; step < STEPS; step++) {
		size_t i = (size_t)random() % IDS;
		uint64_t id = i * 4096 + 7;
		int64_t due = 1000 + random() % 500;

		switch (random() % 8) {
		case 0:
		case 1:
		case 2:
			calendar_set(c, id, due, (uint32_t)(step & 3));
			v[i] = (struct plain){true, due, (uint32_t)(step & 3)};
			break;
		case 3:
			assert_int_equal(calendar_remove(c, id), v[i].there);
			v[i].there = false;
			break;
		case 4:
			if (step % 1000 == 4) {
				calendar_all_now(c, 900);
				for (i = 0; i < IDS; i++) {
					v[i].due = 900;
					v[i].flags |= CALENDAR_NOW;
				}
			}
			break;
		default:
			if (!calendar_pop(c, due, &e)) {
				int64_t first = earliest(v, &n);

				assert_true(n == 0 || first > due);
				break;
			}
			i = e.id / 4096;
			assert_true(v[i].there);
			assert_int_equal(e.due, v[i].due);
			assert_int_equal(e.due, earliest(v, &n));
			assert_int_equal(e.flags, v[i].flags);
			v[i].there = false;
		}
		assert_int_equal(calendar_next(c), earliest(v, &n));
		assert_int_equal(calendar_count(c), n);
	}
	for (size_t i = 0; i < IDS; i++)
		assert_int_equal(
			calendar_get(c, i * 4096 + 7) != NULL, v[i].there);
	calendar_free(c);
}

/* An hour-long wait for mail that was never tried, else. */
static void what_is_due_at_once_is_something(void **state UNUSED)
{
	struct calendar *c = calendar_new();
	struct calendar_entry e;

	assert_int_equal(calendar_next(c), 0);
	calendar_set(c, 7, 0, 0);
	assert_int_equal(calendar_next(c), 1);
	assert_true(calendar_pop(c, 1, &e) && e.id == 7);
	assert_int_equal(calendar_next(c), 0);
	calendar_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_as_a_list),
		cmocka_unit_test(what_is_due_at_once_is_something),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
