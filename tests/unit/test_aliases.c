/* SPDX-License-Identifier: ISC */
#include "codec/postfix/aliases.h"
#include "tests/unit/test.h"

static struct str value(struct str name, void *ctx UNUSED)
{
	if (str_eqc(name, "EXTENSION"))
		return STR("a b; rm");
	return STR_NONE;
}

static void targets(void **state UNUSED)
{
	static const struct {
		enum alias_kind kind;
		const char *value;
	} want[] = {{ALIAS_ADDRESS, "bob"}, {ALIAS_USER, "carol"},
		{ALIAS_COMMAND, "/bin/prog a, \"b c\""},
		{ALIAS_COMMAND, "/bin/other"}, {ALIAS_FILE, "/var/x y"},
		{ALIAS_INCLUDE, "/etc/list"}, {ALIAS_INCLUDE, "/etc/l2"},
		{ALIAS_ADDRESS, "\"a,b\"@example.com"},
		{ALIAS_ADDRESS, "d@example.com"}};
	struct str in =
		STR("bob, \\carol,\"|/bin/prog a, \\\"b c\\\"\", |/bin/other ,,"
		    "\"/var/x y\", :include:/etc/list, \":include:/etc/l2\","
		    "\"a,b\"@example.com d@example.com");
	struct arena *a = arena_new(SIZE_MAX);
	struct alias_target t;

	/* A blank alone does not separate. */
	in = str_sub(in, 0, in.len - 14);
	for (size_t i = 0; i + 1 < ARRAY_LEN(want); i++) {
		assert_true(alias_target_next(&in, a, &t));
		assert_int_equal(t.kind, want[i].kind);
		assert_str(t.value, want[i].value);
	}
	assert_false(alias_target_next(&in, a, &t));
	in = alias_lines_join(STR("# c\nbob,\n  d@example.com\n\n\\bob\n"), a);
	assert_true(alias_target_next(&in, a, &t));
	assert_str(t.value, "bob");
	assert_true(alias_target_next(&in, a, &t));
	assert_str(t.value, "d@example.com");
	assert_true(alias_target_next(&in, a, &t));
	assert_int_equal(t.kind, ALIAS_USER);
	assert_false(alias_target_next(&in, a, &t));
	arena_free(a);
}

static void commands(void **state UNUSED)
{
	static const struct {
		const char *in;
		const char *out; /* words joined by |; NULL: refused */
	} cases[] = {{"/bin/prog  a b", "/bin/prog|a|b"},
		{"exec /bin/prog #alice", "/bin/prog"},
		{"/bin/prog 'a b' \"c  d\"e ''", "/bin/prog|a b|c  de|"},
		{"/bin/prog -a $EXTENSION", "/bin/prog|-a|a b; rm"},
		{"/bin/prog \"${EXTENSION}x\" '$EXTENSION' $NONE.",
			"/bin/prog|a b; rmx|$EXTENSION|."},
		{"/bin/prog a\\ b $ \\$x", "/bin/prog|a b|$|$x"},
		{"/bin/sh -c 'a | b; c'", "/bin/sh|-c|a | b; c"},
		{"/bin/a | /bin/b", NULL}, {"/bin/a; /bin/b", NULL},
		{"/bin/a `id`", NULL}, {"/bin/a \"`id`\"", NULL},
		{"/bin/a $(id)", NULL}, {"/bin/a ${x:-y}", NULL},
		{"/bin/a > /x", NULL}, {"/bin/a 'b", NULL},
		{"IFS=' ' exec /bin/a", NULL}, {"", NULL}, {"# x", NULL},
		{"exec", NULL}};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct arena *a = arena_new(SIZE_MAX);
		struct str all = STR("");
		struct strs words;
		const char *why = NULL;
		bool ok = command_words(
			str_from(cases[i].in), value, NULL, a, &words, &why);

		for (size_t k = 0; ok && k < words.n; k++)
			all = arena_printf(a, "%.*s%s%.*s", STR_ARG(all),
				k > 0 ? "|" : "", STR_ARG(words.v[k]));
		assert_int_equal(ok, cases[i].out != NULL);
		assert_int_equal(ok, why == NULL);
		if (ok)
			assert_str(all, cases[i].out);
		arena_free(a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(targets), cmocka_unit_test(commands)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
