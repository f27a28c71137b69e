/* SPDX-License-Identifier: ISC */
#include "codec/sasl/sasl.h"
#include "codec/smtp/command.h"
#include "codec/smtp/data.h"
#include "codec/smtp/reply.h"
#include "ipc/messages.h"
#include "tests/unit/test.h"

static bool parses(const char *text, unsigned flags, struct smtp_path *p)
{
	struct str in = str_from(text);
	struct smtp_bad bad;

	return smtp_path_parse(&in, flags, p, &bad) && in.len == 0;
}

static void paths(void **state UNUSED)
{
	static const char *const good[] = {"<a@b.example>",
		"<\"a b\"@b.example>", "<a@[127.0.0.1]>",
		"<a@[IPv6:2001:db8::1]>", "<@x.example,@y.example:a@b.example>",
		"<postmaster>", "<a+b=c@b.example>", "<a@b.example.>"};
	static const char *const bad[] = {"<a>", "<a@>", "<@b.example>",
		"<a@b..example>", "<a@-b.example>", "<a b@c.example>",
		"<a@[127.0.0.256]>", "<a@b.example", "a@b.example", "<>",
		"<\"a@b.example>", "<a@[IPv6:zz]>", "<a@1.2.3.4>",
		"<.a@b.example>", "<a..b@c.example>", "<a@b.example>>",
		"<\xc3\xa4@b.example>"};
	struct smtp_path p;

	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		if (!parses(good[i], 0, &p))
			fail_msg("refused: %s", good[i]);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (parses(bad[i], 0, &p))
			fail_msg("accepted: %s", bad[i]);
	assert_true(parses("<>", SMTP_PATH_EMPTY, &p));
	assert_true(parses("a@b.example", SMTP_PATH_BARE, &p));
	assert_true(parses("<\xc3\xa4@b.example>", SMTP_PATH_UTF8, &p));
	assert_false(parses("<\xc3@b.example>", SMTP_PATH_UTF8, &p));
	assert_true(parses("<@x.example:a@b.example>", 0, &p));
	assert_str(p.whole, "a@b.example");
}

static void mail_parameters(void **state UNUSED)
{
	struct arena *a = arena_new(SIZE_MAX);
	struct smtp_mail m;
	struct smtp_refusal r;
	static const char *const bad[] = {"FROM:<a@b.c> SIZE=-1",
		"FROM:<a@b.c> SIZE=18446744073709551616",
		"FROM:<a@b.c> SIZE=", "FROM:<a@b.c> SIZE=1 SIZE=1",
		"FROM:<a@b.c> FOO=1", "FROM:<a@b.c> ENVID=a+0Ab",
		"FROM:<a@b.c> ENVID=a=", "FROM:<a@b.c> BODY=9BIT",
		"FROM:<a@b.c> AUTH=", "TO:<a@b.c>", "FROM:<a@b.c>SIZE=1",
		"FROM:<a@b.c> SIZE=0x10"};

	assert_true(smtp_mail_parse(
		STR("FROM:<> SIZE=2147483648 BODY=8BITMIME RET=HDRS "
		    "ENVID=Q+2B1"),
		SMTP_OFFER_UTF8, SMTP_PATH_BARE, a, &m, &r));
	assert_int_equal(m.size, 2147483648u);
	assert_str(m.envid, "Q+1");
	assert_int_equal(m.from.whole.len, 0);
	assert_true((m.flags & SMTP_MAIL_RET_HDRS) != 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (smtp_mail_parse(str_from(bad[i]), SMTP_OFFER_UTF8,
			    SMTP_PATH_BARE, a, &m, &r))
			fail_msg("accepted: %s", bad[i]);
	assert_true(smtp_mail_parse(STR("FROM:<\xc3\xa4@b.example> SMTPUTF8"),
		SMTP_OFFER_UTF8, SMTP_PATH_BARE, a, &m, &r));
	assert_false(smtp_mail_parse(STR("FROM:<\xc3\xa4@b.example>"),
		SMTP_OFFER_UTF8, SMTP_PATH_BARE, a, &m, &r));
	assert_int_equal(r.code, 553);
	arena_free(a);
}

static void rcpt_parameters(void **state UNUSED)
{
	struct arena *a = arena_new(SIZE_MAX);
	struct smtp_rcpt x;
	struct smtp_refusal r;

	assert_true(smtp_rcpt_parse(
		STR("TO:<a@b.c> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+40b"),
		false, false, a, &x, &r));
	assert_str(x.orcpt, "rfc822;a@b");
	assert_int_equal(x.notify, SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_DELAY);
	assert_false(smtp_rcpt_parse(STR("TO:<a@b.c> NOTIFY=NEVER,DELAY"),
		false, SMTP_PATH_BARE, a, &x, &r));
	assert_false(smtp_rcpt_parse(
		STR("TO:<a@b.c> ORCPT=;x"), false, false, a, &x, &r));
	assert_false(smtp_rcpt_parse(STR("TO:<a@b.c> ORCPT=rfc822;a+0D+0Ab"),
		false, false, a, &x, &r));
	arena_free(a);
}

/* Feeds text in two pieces, cut at every byte; must give the same. */
static void feed(const char *text, size_t len, size_t cut, struct buf *out,
	struct smtp_data *d, size_t *eaten)
{
	struct str in = str_of(text, len);

	smtp_data_init(d);
	buf_reset(out);
	*eaten = smtp_data_feed(d, str_sub(in, 0, cut), out);
	if (*eaten == cut)
		*eaten += smtp_data_feed(d, str_from_at(in, cut), out);
}

/* RFC 5321 4.1.1.4: only CRLF.CRLF ends the data (attacks 1 and 2). */
static void end_of_data(void **state UNUSED)
{
	static const struct {
		const char *text;
		bool bare;
	} look_alikes[] = {{"a\n.\nb", true}, {"a\r.\rb", true},
		{"a\r.\nb", true}, {"a\n.\rb", true}, {"a\n.\r\nb", true},
		{"a\r\n.\nb", true}, {"a\r.\r\nb", true}, {"a\r\n.\rb", true},
		{"a\r\n.\r\r\nb", true}, {"a\r\r\n.\r\r\nb", true}};
	struct smtp_data d;
	struct buf out CLEANUP(buf_fini);
	size_t eaten;

	buf_init(&out, 4096);
	for (size_t i = 0; i < ARRAY_LEN(look_alikes); i++) {
		size_t len = str_from(look_alikes[i].text).len;

		for (size_t cut = 0; cut <= len; cut++) {
			feed(look_alikes[i].text, len, cut, &out, &d, &eaten);
			assert_int_not_equal(d.state, SMTP_DATA_END);
			assert_true(d.bare_newline);
			assert_int_equal(eaten, len);
		}
	}
	static const char real[] = "..x\r\n.y\r\nz\r\n.\r\nMAIL";
	for (size_t cut = 0; cut < sizeof(real); cut++) {
		feed(real, sizeof(real) - 1, cut, &out, &d, &eaten);
		assert_int_equal(d.state, SMTP_DATA_END);
		assert_str(buf_str(&out), ".x\r\ny\r\nz\r\n");
		assert_false(d.bare_newline);
		assert_int_equal(eaten, sizeof(real) - 1 - 4);
	}
	feed(".\r\n", 3, 1, &out, &d, &eaten);
	assert_int_equal(d.state, SMTP_DATA_END);
	assert_int_equal(out.len, 0);
}

static void stuffing(void **state UNUSED)
{
	struct buf out CLEANUP(buf_fini);
	bool start = true;

	buf_init(&out, 4096);
	smtp_data_stuff(STR(".a\r\n..b\nc"), &start, &out);
	assert_str(buf_str(&out), "..a\r\n...b\r\nc");
	assert_false(start);
}

static void replies(void **state UNUSED)
{
	struct smtp_reply r;

	smtp_reply_init(&r);
	assert_int_equal(
		smtp_reply_feed(&r, STR("550-5.1.1 no")), SMTP_REPLY_MORE);
	assert_int_equal(smtp_reply_feed(&r, STR("550 5.1.1 such user")),
		SMTP_REPLY_DONE);
	assert_int_equal(r.code, 550);
	assert_int_equal(r.subject, 1);
	smtp_reply_fini(&r);
	smtp_reply_init(&r);
	assert_int_equal(smtp_reply_feed(&r, STR("250")), SMTP_REPLY_DONE);
	smtp_reply_fini(&r);
	smtp_reply_init(&r);
	assert_int_equal(smtp_reply_feed(&r, STR("hello")), SMTP_REPLY_BAD);
	for (int i = 0; i < SMTP_REPLY_LINES_MAX; i++)
		smtp_reply_feed(&r, STR("250-more"));
	assert_int_equal(smtp_reply_feed(&r, STR("250-more")), SMTP_REPLY_BAD);
	assert_true(r.text.len <= SMTP_REPLY_TEXT_MAX);
	smtp_reply_fini(&r);
}

static void sasl(void **state UNUSED)
{
	struct arena *a = arena_new(SIZE_MAX);
	struct sasl_plain p;
	struct scram_client_first f;
	struct scram_client_final fin;

	assert_true(sasl_plain_parse(str_of("\0u\0p", 4), &p));
	assert_str(p.authcid, "u");
	assert_false(sasl_plain_parse(str_of("u\0p", 3), &p));
	assert_false(sasl_plain_parse(str_of("\0u\0", 3), &p));
	assert_false(sasl_plain_parse(str_of("\0\0p", 3), &p));
	assert_false(sasl_plain_parse(str_of("\0u\0p\0q", 6), &p));
	/* RFC 7677 3 */
	assert_true(scram_client_first_parse(
		STR("n,,n=user,r=rOprNGfwEbeRWgbNEkqO"), a, &f));
	assert_str(f.user, "user");
	assert_str(f.gs2, "n,,");
	assert_true(scram_client_first_parse(
		STR("n,a=us=2Cer,n=us=2Cer,r=x"), a, &f));
	assert_str(f.authzid, "us,er");
	assert_false(scram_client_first_parse(STR("n,,n=us=er,r=x"), a, &f));
	assert_false(scram_client_first_parse(STR("x,,n=user,r=x"), a, &f));
	assert_false(
		scram_client_first_parse(STR("n,,m=ext,n=user,r=x"), a, &f));
	assert_true(
		scram_client_final_parse(STR("c=biws,r=abc,p=dHzbZapWIk4jUhN+"
					     "Ute9ytag9zjfMHgsqmmiz7AndVQ="),
			&fin));
	assert_str(fin.without_proof, "c=biws,r=abc");
	assert_false(scram_client_final_parse(STR("c=biws,r=abc"), &fin));
	arena_free(a);
}

/* What a queue of the first version holds is read by this one. */
static void envelopes(void **state UNUSED)
{
	struct arena *a = arena_new(SIZE_MAX);
	struct recipient r = {.address = STR("b@y"), .original = STR("B@y")};
	struct envelope e = {.id = 7,
		.size = 9,
		.sender = STR("a@x"),
		.client = STR("c"),
		.filter = STR("smtp:[f]:1"),
		.priority = -9,
		.hold_until = 1,
		.deliver_by = -2,
		.rcpts = &r,
		.n_rcpts = 1};
	struct envelope got;
	struct buf b;

	buf_init(&b, 4096);
	envelope_put(&b, &e);
	struct wire w = {.rest = buf_str(&b)};
	assert_true(envelope_read(&w, a, &got) && wire_ok(&w));
	assert_str(got.filter, "smtp:[f]:1");
	assert_int_equal(got.priority, -9);
	assert_int_equal(got.hold_until, 1);
	assert_int_equal(got.deliver_by, -2);
	buf_reset(&b);
	wire_put_u8(&b, 1);
	wire_put_u64(&b, 7);
	wire_put_u64(&b, 5);
	wire_put_u32(&b, 0);
	wire_put_u64(&b, 9);
	for (size_t i = 0; i < 4; i++)
		wire_put_str(&b, STR("text"));
	wire_put_u32(&b, 1);
	for (size_t i = 0; i < 3; i++)
		wire_put_str(&b, STR("b@y"));
	wire_put_u32(&b, 0);
	w = (struct wire){.rest = buf_str(&b)};
	assert_true(envelope_read(&w, a, &got) && wire_ok(&w));
	assert_false(str_present(got.filter));
	assert_str(got.rcpts[0].address, "b@y");
	assert_int_equal(got.hold_until, 0);
	/* One of a newer program is not touched. */
	b.data[0] = 4;
	w = (struct wire){.rest = buf_str(&b)};
	assert_false(envelope_read(&w, a, &got));
	buf_fini(&b);
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(envelopes),
		cmocka_unit_test(paths), cmocka_unit_test(mail_parameters),
		cmocka_unit_test(rcpt_parameters),
		cmocka_unit_test(end_of_data), cmocka_unit_test(stuffing),
		cmocka_unit_test(replies), cmocka_unit_test(sasl)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
