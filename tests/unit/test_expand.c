/* SPDX-License-Identifier: ISC */
/* The vectors were observed on a running Postfix 3.7.11. */
#include "codec/postfix/expand.h"
#include "codec/postfix/lines.h"
#include "codec/postfix/value.h"
#include "tests/unit/test.h"

static struct str lookup(struct str name, void *ctx UNUSED)
{
	if (str_eqc(name, "biff"))
		return STR("yes");
	if (str_eqc(name, "compatibility_level"))
		return STR("3.6");
	if (str_eqc(name, "loop"))
		return STR("$loop");
	if (str_eqc(name, "list"))
		return STR("a, $biff");
	return STR_NONE;
}

static void expands(void **state UNUSED)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"[$nothere]", "[]"},
		{"[${nothere?a}]", "[]"},
		{"[${nothere:dflt}]", "[dflt]"},
		{"[${biff?yes:no}]", "[yes:no]"},
		{"[${biff?{yes}:{no}}]", "[yes]"},
		{"[${biff?{yes}:no}]", "[yes]"},
		{"[${ biff ? {a} : { b } }]", "[a]"},
		{"[${biff??foo:{b}ar}]", "[?foo:{b}ar]"},
		{"[${{1} < {2} ? {lt} : {ge}}]", "[lt]"},
		{"[${{10} < {9} ? {lt} : {ge}}]", "[ge]"},
		{"[${{3.10} < {3.9} ? {lex-lt} : {lex-ge}}]", "[lex-lt]"},
		{"[${{$compatibility_level} <level {3.10} ? {old} : {new}}]",
			"[old]"},
		{"[${{$biff} == {yes}}]", "[true]"},
		{"[${{$biff} == {no}}]", "[]"},
		{"[$(biff)]", "[yes]"},
		{"[a $$b $$$$c]", "[a $b $$c]"},
		{"$list", "a, yes"},
	};
	struct arena *a = arena_new(SIZE_MAX);

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct str out;
		const char *why = NULL;

		if (!expand(str_from(cases[i].in), lookup, NULL, a, &out, &why))
			fail_msg("%s: %s", cases[i].in, why);
		assert_str(out, cases[i].out);
	}
	arena_free(a);
}

static void refuses(void **state UNUSED)
{
	static const char *const cases[] = {
		"$loop", "${foo", "${}", "$ x", "$", "${a b}", "${{a} = {b}}"};
	struct arena *a = arena_new(SIZE_MAX);

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct str out;
		const char *why = NULL;

		assert_false(expand(
			str_from(cases[i]), lookup, NULL, a, &out, &why));
		assert_non_null(why);
	}
	arena_free(a);
}

static void lines(void **state UNUSED)
{
	struct arena *a = arena_new(SIZE_MAX);
	struct logical_lines l;
	struct logical_line line;
	struct str name, value;

	logical_lines_init(&l,
		STR("# c\nt = one\n\n   two # three\n  # c\n   five\n"
		    "u = a\\\n b\r\n"),
		a);
	assert_true(logical_lines_next(&l, &line));
	assert_int_equal(
		assignment_parse(line.text, &name, &value), ASSIGNMENT_OK);
	assert_str(name, "t");
	assert_str(value, "one   two # three   five");
	assert_int_equal(line.first, 2);
	assert_true(logical_lines_next(&l, &line));
	assert_int_equal(
		assignment_parse(line.text, &name, &value), ASSIGNMENT_OK);
	assert_str(value, "a\\ b");
	assert_false(logical_lines_next(&l, &line));
	assert_int_equal(assignment_parse(STR("nothing"), &name, &value),
		ASSIGNMENT_NO_EQUALS);
	assert_int_equal(assignment_parse(STR("= x"), &name, &value),
		ASSIGNMENT_NO_NAME);
	arena_free(a);
}

static void values(void **state UNUSED)
{
	int64_t n;
	bool b;

	assert_true(value_bool(STR("YES"), &b) && b);
	assert_false(value_bool(STR("1"), &b));
	assert_false(value_bool(STR(""), &b));
	assert_true(value_time(STR("5hx"), 's', &n));
	assert_int_equal(n, 18000);
	assert_false(value_time(STR("5x"), 's', &n));
	assert_false(value_time(STR("5H"), 's', &n));
	assert_false(value_time(STR("5 s"), 's', &n));
	assert_true(value_time(STR("2"), 'd', &n));
	assert_int_equal(n, 172800);
	assert_false(value_int(STR("10M"), &n));
	assert_true(hostname_valid(STR("foo_bar.x")));
	assert_true(hostname_valid(STR("localhost")));
	assert_false(hostname_valid(STR("foo..x")));
	assert_false(hostname_valid(STR("1.2.3.4")));
	assert_false(hostname_valid(STR("-foo")));
}

static void networks(void **state UNUSED)
{
	unsigned char addr[16];
	struct cidr c;
	size_t len;

	assert_int_equal(cidr_parse(STR("10.1.2.3/8"), &c), CIDR_HOST_BITS);
	assert_int_equal(cidr_parse(STR("10.0.0.0/8"), &c), CIDR_OK);
	assert_true(address_parse(STR("10.9.8.7"), addr, &len));
	assert_true(cidr_match(&c, addr, len));
	assert_true(address_parse(STR("11.0.0.1"), addr, &len));
	assert_false(cidr_match(&c, addr, len));
	assert_int_equal(
		cidr_parse(STR("[::ffff:127.0.0.0]/104"), &c), CIDR_OK);
	assert_int_equal(c.len, 4);
	assert_int_equal(c.bits, 8);
	assert_int_equal(cidr_parse(STR("[2001:db8::]/32"), &c), CIDR_OK);
	assert_true(address_parse(STR("2001:db8:1::2"), addr, &len));
	assert_true(cidr_match(&c, addr, len));
	assert_int_equal(cidr_parse(STR("10.0.0.0/33"), &c), CIDR_NOT_ONE);
	assert_int_equal(cidr_parse(STR("example.com"), &c), CIDR_NOT_ONE);
}

static void braces(void **state UNUSED)
{
	assert_str(list_unbrace(STR(" { a b } ")), "a b");
	assert_str(list_unbrace(STR("{a} {b}")), "{a} {b}");
	assert_str(list_unbrace(STR("{{a} {b}}")), "{a} {b}");
	assert_str(list_unbrace(STR("{a")), "{a");
	assert_str(list_unbrace(STR("}a}")), "}a}");
	assert_str(list_unbrace(STR("{}")), "");
	assert_str(list_unbrace(STR("")), "");
}

static void master(void **state UNUSED)
{
	struct arena *a = arena_new(SIZE_MAX);
	struct master_line m;
	const char *why;

	assert_true(master_line_parse(
		STR("smtp inet n - y - - smtpd -o a=b -o { c = d e } -v"), a,
		&m, &why));
	assert_str(m.command, "smtpd");
	assert_int_equal(m.args.n, 5);
	assert_str(m.args.v[3], "c = d e");
	assert_false(master_line_parse(STR("smtp inet n - y"), a, &m, &why));
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(expands),
		cmocka_unit_test(refuses), cmocka_unit_test(lines),
		cmocka_unit_test(values), cmocka_unit_test(networks),
		cmocka_unit_test(braces), cmocka_unit_test(master)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
