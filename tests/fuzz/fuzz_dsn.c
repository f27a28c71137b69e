/* SPDX-License-Identifier: ISC */
/* A report about any message: nothing of it becomes a field of ours. */
#include "tests/fuzz/fuzz.h"

#include "base/arena.h"
#include "codec/mail/dsn.h"
#include "codec/mail/header.h"

static size_t fields_of(struct str head)
{
	struct mail_field field;
	size_t n = 0;

	while (mail_field_next(&head, &field))
		n++;
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_of(data, size), head, body, original_head;
	const struct dsn_words *words = dsn_words_find(in);
	struct buf out;
	struct dsn_rcpt rcpt = {.address = in,
		.orcpt = in,
		.action = (enum dsn_action)(size % 4),
		.class = 5,
		.subject = (int)(size % 8),
		.detail = (int)(size % 32),
		.reply = in,
		.from_mta = size % 2 == 0,
		.mta = in,
		.will_retry_until = 1,
		.cause = dsn_cause_of(
			5, (int)(size % 8), (int)(size % 32), size % 2 != 0)};
	struct dsn d = {.reporting_mta = STR("mx.example"),
		.message_id = STR("id@mx.example"),
		.to = in,
		.envid = in,
		.queue_id = STR("Q"),
		.rcpts = &rcpt,
		.n_rcpts = 1,
		.original = in,
		.headers_only = size % 3 == 0,
		.threaded = true,
		.utf8 = size % 5 == 0,
		.words = words != NULL ? words : &dsn_words_en};
	struct str first = in;
	first = str_cut(&first, '\n');
	struct dsn_template own = {.from = first, .subject = first, .text = in};
	if (size % 7 < 3)
		d.template = &own;

	buf_init(&out, SIZE_MAX);
	dsn_put(&d, &out);
	mail_split(buf_str(&out), &head, &body);
	mail_split(in, &original_head, &body);
	/* Date, From, Subject, To, Message-ID, Auto-Submitted, language, MIME,
	 * type, encoding; In-Reply-To and References together. */
	size_t n = fields_of(head);
	if (n != 10 && n != 12)
		__builtin_trap();
	buf_fini(&out);
	return 0;
}
