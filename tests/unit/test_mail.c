/* SPDX-License-Identifier: ISC */
#include <string.h>

#include "base/utf8.h"
#include "codec/imap/parse.h"
#include "codec/imap/structure.h"
#include "codec/imap/utf7.h"
#include "codec/mail/address.h"
#include "codec/mail/base64.h"
#include "codec/mail/casemap.h"
#include "codec/mail/date.h"
#include "codec/mail/encword.h"
#include "codec/mail/header.h"
#include "tests/unit/test.h"

static struct arena *a;

static int set_up(void **state UNUSED)
{
	a = arena_new(SIZE_MAX);
	return 0;
}

static int tear_down(void **state UNUSED)
{
	arena_free(a);
	return 0;
}

/* Of every length up to some blocks, the odd byte at each place. */
static void case_folding(void **state UNUSED)
{
	char upper[200], lower[200], odd[200];

	for (size_t i = 0; i < sizeof(upper); i++) {
		upper[i] = "@AMZ[`amz{09 "[i % 13];
		lower[i] = "@amz[`amz{09 "[i % 13];
	}
	for (size_t n = 0; n <= sizeof(upper); n++)
		assert_true(
			str_eq(casemap(str_of(upper, n), a), str_of(lower, n)));
	assert_true(utf8_is_ascii(str_of(upper, sizeof(upper))));
	for (size_t i = 0; i < sizeof(upper); i++) {
		memcpy(odd, upper, sizeof(odd));
		odd[i] = (char)0x80;
		assert_false(utf8_is_ascii(str_of(odd, sizeof(odd))));
	}
	assert_str(casemap(STR("STRA\xc3\x9f\x45"), a), "strasse");
}

static void base64(void **state UNUSED)
{
	struct str out;

	assert_true(base64_decode(STR("aGVsbG8="), a, &out));
	assert_str(out, "hello");
	assert_false(base64_decode(STR("aGVsbG8"), a, &out));
	assert_false(base64_decode(STR("aGVsbG9="), a, &out));
	assert_false(base64_decode(STR("a==="), a, &out));
	assert_false(base64_decode(STR("aGV*bG8="), a, &out));
	assert_str(base64_encode_a(STR("hi"), a), "aGk=");
}

static void quoted_printable(void **state UNUSED)
{
	struct buf out CLEANUP(buf_fini);
	struct buf back CLEANUP(buf_fini);
	struct str text = STR("gr\xc3\xbc\xc3\x9f \r\n.dot\r\nFrom x\r\n=end ");

	buf_init(&out, 4096);
	buf_init(&back, 4096);
	qp_encode(text, &out);
	assert_true(str_has(STR("abc"), STR("bc")));
	assert_true(str_has(STR("abc"), STR("")) && str_has(STR_NONE, STR("")));
	assert_false(
		str_has(STR_NONE, STR("a")) || str_has(STR("a"), STR("A")));
	assert_int_equal(str_isearch(buf_str(&out), STR("\n.")), -1);
	qp_decode(buf_str(&out), &back);
	assert_true(str_eq(buf_str(&back), text));
	buf_reset(&back);
	qp_decode(STR("a=\r\nb=3Dc=zz"), &back);
	assert_str(buf_str(&back), "ab=c=zz");
}

static void addresses(void **state UNUSED)
{
	struct mail_address_list l = {0};

	assert_true(mail_address_parse(
		STR("\"Doe, John\" <john@a.example>, jane@b.example (c),"
		    " team: x@y.example, z@y.example;, "
		    "<@r.example:q@s.example>,"
		    " John Q. Public <j@p.example>"),
		100, a, &l));
	assert_int_equal(l.n, 8);
	assert_str(l.v[0].name, "Doe, John");
	assert_str(l.v[0].spec, "john@a.example");
	assert_str(l.v[1].spec, "jane@b.example");
	assert_int_equal(l.v[2].kind, MAIL_GROUP_START);
	assert_str(l.v[2].name, "team");
	assert_int_equal(l.v[5].kind, MAIL_GROUP_END);
	assert_str(l.v[6].route, "@r.example");
	assert_str(l.v[6].spec, "q@s.example");
	assert_str(l.v[7].name, "John Q. Public");
	l.n = 0;
	assert_false(mail_address_parse(STR("a@b,c@d,e@f"), 2, a, &l));
	l.n = 0;
	mail_address_parse(STR("(a\\"), 10, a, &l);
	mail_address_parse(STR("\"a\\"), 10, a, &l);
	mail_address_parse(STR("a@[1"), 10, a, &l);
}

static void dates(void **state UNUSED)
{
	struct buf out CLEANUP(buf_fini);
	int64_t at;
	int zone;

	buf_init(&out, 100);
	assert_true(mail_date_parse(
		STR("Fri, 21 Nov 1997 09:55:06 -0600"), &at, &zone));
	assert_int_equal(at, 880127706);
	assert_int_equal(zone, -360);
	mail_date_put(at, zone, &out);
	assert_str(buf_str(&out), "Fri, 21 Nov 1997 09:55:06 -0600");
	assert_true(mail_date_parse(STR("21 Nov 97 09:55:06 GMT"), &at, &zone));
	assert_int_equal(at, 880106106);
	assert_false(mail_date_parse(STR("yesterday"), &at, &zone));
	buf_reset(&out);
	imap_date_put(880127706, &out);
	assert_str(buf_str(&out), "21-Nov-1997 15:55:06 +0000");
	assert_true(imap_date_parse(STR(" 1-Feb-2020 00:00:00 +0100"), &at));
	assert_int_equal(at, 1580511600);
	assert_false(imap_date_parse(STR("1-Foo-2020 00:00:00 +0100"), &at));
}

static void encoded_words(void **state UNUSED)
{
	struct buf out CLEANUP(buf_fini);

	/* RFC 2047 8 */
	assert_str(encword_decode(STR("(=?ISO-8859-1?Q?a?= b)"), a), "(a b)");
	assert_str(
		encword_decode(
			STR("=?ISO-8859-1?Q?a?= \r\n =?ISO-8859-1?Q?b?="), a),
		"ab");
	assert_str(encword_decode(STR("=?ISO-8859-1?Q?a_b=E9?="), a),
		"a b\xc3\xa9");
	assert_str(encword_decode(STR("=?x-odd?Q?a?="), a), "=?x-odd?Q?a?=");
	buf_init(&out, 4096);
	encword_put(STR("Gr\xc3\xbc\xc3\x9f"
			"e \xe2\x82\xac \xf0\x9f\x98\x80 and many words "
			"more than fit into one line of a header field"),
		9, &out);
	struct str rest = buf_str(&out);
	while (str_present(rest)) {
		struct str line = str_cut(&rest, '\n');

		assert_true(line.len <= 77);
	}
	assert_str(encword_decode(buf_str(&out), a),
		"Gr\xc3\xbc\xc3\x9f"
		"e \xe2\x82\xac \xf0\x9f\x98\x80 and many words "
		"more than fit into one line of a header field");
}

static void modified_utf7(void **state UNUSED)
{
	struct str out;

	/* RFC 3501 5.1.3 */
	assert_true(imap_utf7_decode(
		STR("~peter/mail/&U,BTFw-/&ZeVnLIqe-"), a, &out));
	assert_str(out, "~peter/mail/\xe5\x8f\xb0\xe5\x8c\x97/"
			"\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e");
	assert_str(imap_utf7_encode(out, a), "~peter/mail/&U,BTFw-/&ZeVnLIqe-");
	assert_true(imap_utf7_decode(STR("a&-b"), a, &out));
	assert_str(out, "a&b");
	assert_false(imap_utf7_decode(STR("&Jjo"), a, &out));
	assert_false(imap_utf7_decode(STR("&AGE-"), a, &out)); /* plain "a" */
	assert_false(imap_utf7_decode(STR("&2AA-"), a, &out)); /* half pair */
}

static void structure(void **state UNUSED)
{
	struct buf out CLEANUP(buf_fini);
	struct mime_part *m = mime_parse(
		STR("From: A <a@x.example>\r\nSubject: s\r\n"
		    "Content-Type: multipart/mixed; boundary=\"b\"\r\n\r\n"
		    "pre\r\n--b\r\n\r\nhi\r\n--b\r\n"
		    "Content-Type: text/html; charset=utf-8\r\n"
		    "Content-Transfer-Encoding: base64\r\n\r\nYQ==\r\n"
		    "--b--\r\npost\r\n"),
		a);

	buf_init(&out, 65536);
	imap_put_bodystructure(m, false, a, &out);
	assert_str(buf_str(&out),
		"((\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL "
		"\"7bit\" 2 0)(\"text\" \"html\" (\"charset\" \"utf-8\") NIL "
		"NIL \"base64\" 4 0) \"mixed\")");
	buf_reset(&out);
	imap_put_envelope(m->head, a, &out);
	assert_str(buf_str(&out),
		"(NIL \"s\" ((\"A\" NIL \"a\" \"x.example\")) "
		"((\"A\" NIL \"a\" \"x.example\")) "
		"((\"A\" NIL \"a\" \"x.example\")) NIL NIL NIL NIL NIL)");
	const uint32_t two[] = {2};
	const struct mime_part *html = mime_part_at(m, two, 1);
	assert_non_null(html);
	assert_str(html->body, "YQ==");
	const uint32_t three[] = {3};
	assert_null(mime_part_at(m, three, 1));
}

static void imap_tokens(void **state UNUSED)
{
	struct imap_in in = {
		.rest = STR("a1 \"q\\\"x\" {3}\r\nabc 1:3,*"), .a = a};
	struct str s;
	struct imap_set set;
	uint64_t size;
	bool plus;

	assert_true(imap_tag(&in, &s) && imap_space(&in));
	assert_true(imap_string(&in, &s));
	assert_str(s, "q\"x");
	assert_true(imap_space(&in) && imap_astring(&in, &s));
	assert_str(s, "abc");
	assert_true(imap_space(&in) && imap_set_parse(&in, &set));
	assert_true(imap_end(&in));
	imap_set_settle(&set, 10);
	assert_true(imap_set_has(&set, 2));
	assert_true(imap_set_has(&set, 10));
	assert_false(imap_set_has(&set, 5));
	assert_true(imap_literal_announced(
		STR("A LOGIN {4294967295}"), &size, &plus));
	assert_int_equal(size, 4294967295u);
	assert_true(imap_literal_announced(
		STR("x {99999999999999999999}"), &size, &plus));
	assert_true(size == UINT64_MAX);
	in.rest = STR("\"a\\");
	assert_false(imap_string(&in, &s));
	in.rest = STR("{5}\r\nabc");
	assert_false(imap_string(&in, &s));
	assert_str(in.rest, "{5}\r\nabc");
}

static void headers(void **state UNUSED)
{
	struct str rest = STR("A: 1\r\n\t2\r\nB : x\r\nnot a field\r\nC: 3");
	struct mail_field f;

	assert_true(mail_field_next(&rest, &f));
	assert_str(f.name, "A");
	assert_str(mail_unfold(f.value, a), "1 2");
	assert_true(mail_field_next(&rest, &f));
	assert_str(f.name, "B");
	assert_false(mail_field_next(&rest, &f));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(case_folding),
		cmocka_unit_test(base64), cmocka_unit_test(quoted_printable),
		cmocka_unit_test(addresses), cmocka_unit_test(dates),
		cmocka_unit_test(encoded_words),
		cmocka_unit_test(modified_utf7), cmocka_unit_test(structure),
		cmocka_unit_test(imap_tokens), cmocka_unit_test(headers)};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
