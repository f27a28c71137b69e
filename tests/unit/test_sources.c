/* SPDX-License-Identifier: ISC */
/* Which source address carries what. */
#include "policy/sources.h"
#include "tests/unit/test.h"

enum { DAY = 20000 };

static bool parse(const char *list, const char *warmup, struct arena *a,
	struct sources *s)
{
	struct conf c = {.smtp_source_addresses = str_from(list),
		.smtp_source_warmup = str_from(warmup)};
	struct str what;
	const char *why;

	return sources_parse(&c, a, s, &what, &why);
}

static void words(void **state UNUSED)
{
	static const char *const bad[] = {"mail.example.org", "{192.0.2.1, x}",
		"{192.0.2.1, weight=0}", "{192.0.2.1, weight=1001}",
		"{192.0.2.1, warmup=tomorrow}", "{192.0.2.1, helo=}", "{}"};
	struct arena *a = arena_new(SIZE_MAX);
	struct sources s;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(parse(bad[i], "", a, &s));
	assert_false(parse("192.0.2.1", "50, many", a, &s));
	assert_true(parse("192.0.2.1, {2001:db8::1, weight=7,"
			  " warmup=2024-10-04, helo=six.example}",
		"50 100", a, &s));
	assert_int_equal(s.n, 2);
	assert_true(s.v[1].six && !s.v[0].six);
	assert_int_equal(s.v[1].weight, 7);
	assert_int_equal(s.v[1].warmup, DAY);
	assert_str(s.v[1].helo, "six.example");
	arena_free(a);
}

static void by_weight(void **state UNUSED)
{
	struct arena *a = arena_new(SIZE_MAX);
	uint32_t none[3] = {0};
	size_t count[3] = {0};
	struct sources s;

	assert_true(parse(
		"{192.0.2.1, weight=3} 192.0.2.2 2001:db8::1", "", a, &s));
	for (uint64_t h = 0; h < 4000; h++)
		count[sources_choose(&s, false, h, DAY, none) - s.v]++;
	assert_int_equal(count[0], 3000);
	assert_int_equal(count[1], 1000);
	assert_ptr_equal(sources_choose(&s, true, 9, DAY, none), &s.v[2]);
	arena_free(a);
}

static void warming_up(void **state UNUSED)
{
	struct arena *a = arena_new(SIZE_MAX);
	uint32_t carried[2] = {1000, 0};
	struct sources s;

	assert_true(parse("192.0.2.1 {192.0.2.2, weight=1000,"
			  " warmup=2024-10-04}",
		"2, 5", a, &s));
	const struct source *fresh = &s.v[1];
	/* Before its first day it carries nothing. */
	for (uint64_t h = 0; h < 2000; h++)
		assert_ptr_equal(
			sources_choose(&s, false, h, DAY - 1, carried), s.v);
	assert_int_equal(sources_quota(&s, fresh, DAY), 2);
	assert_int_equal(sources_quota(&s, fresh, DAY + 1), 5);
	assert_int_equal(sources_quota(&s, fresh, DAY + 2), UINT32_MAX);
	assert_ptr_equal(sources_choose(&s, false, 7, DAY, carried), fresh);
	carried[1] = 2;
	assert_ptr_equal(sources_choose(&s, false, 7, DAY, carried), s.v);
	assert_ptr_equal(sources_choose(&s, false, 7, DAY + 1, carried), fresh);
	carried[1] = 5;
	assert_ptr_equal(sources_choose(&s, false, 7, DAY + 1, carried), s.v);
	assert_ptr_equal(sources_choose(&s, false, 7, DAY + 2, carried), fresh);
	arena_free(a);
}

static void where_all_are_full(void **state UNUSED)
{
	struct arena *a = arena_new(SIZE_MAX);
	uint32_t carried[2] = {9, 9};
	struct sources s;

	assert_true(parse("{192.0.2.1, warmup=2024-10-04} {192.0.2.2,"
			  " warmup=2024-10-03}",
		"2, 5", a, &s));
	assert_ptr_equal(sources_choose(&s, false, 7, DAY, carried), &s.v[1]);
	assert_null(sources_choose(&s, true, 7, DAY, carried));
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words),
		cmocka_unit_test(by_weight),
		cmocka_unit_test(warming_up),
		cmocka_unit_test(where_all_are_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
