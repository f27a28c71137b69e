/* SPDX-License-Identifier: ISC */
#include "tests/fuzz/fuzz.h"

#include "base/arena.h"
#include "codec/postfix/aliases.h"
#include "codec/postfix/bounce_template.h"
#include "codec/postfix/characters.h"
#include "codec/postfix/expand.h"
#include "codec/postfix/lines.h"
#include "codec/postfix/pipe_args.h"
#include "codec/postfix/value.h"

static struct str nothing(struct str name, void *ctx)
{
	(void)ctx;
	return name.len % 2 == 0 ? STR_NONE : STR("x");
}

/* The command of a mail whose every part is what came in. */
static void pipe_of(
	const struct master_line *m, struct str value, struct arena *a)
{
	struct pipe_rcpt rcpts[2] = {{value, value, value, value},
		{STR("a@b"), STR("a@b"), STR("a"), STR("")}};
	struct pipe_mail mail = {.sender = value,
		.nexthop = value,
		.queue_id = value,
		.login = value,
		.client_address = value,
		.client_hostname = value,
		.client_helo = value,
		.client_protocol = value,
		.sasl_method = value,
		.sasl_sender = value,
		.size = 1,
		.rcpts = rcpts,
		.n_rcpts = 2};
	struct pipe_args args;
	struct strs argv;
	const char *why;

	if (pipe_args_parse(&m->args, a, &args, &why) &&
		pipe_argv(&args, &mail, a, &argv, &why) && argv.n == 0)
		__builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(SIZE_MAX);
	struct str in = str_of(data, size);

	struct logical_lines lines;
	struct logical_line line;
	struct str name, value, out;
	struct master_line m;
	struct cidr cidr;
	const char *why;
	struct alias_target target;
	struct characters set;
	struct strs words;
	int64_t n;

	logical_lines_init(&lines, in, a);
	while (logical_lines_next(&lines, &line)) {
		table_entry_parse(line.text, true, a, &name, &value, &why);
		table_entry_parse(line.text, false, a, &name, &value, &why);
		if (master_line_parse(line.text, a, &m, &why))
			pipe_of(&m, in, a);
		if (assignment_parse(line.text, &name, &value) != ASSIGNMENT_OK)
			continue;
		expand(value, nothing, NULL, a, &out, &why);
		value_time(value, 115, &n);
		if (characters_parse(value, &set))
			characters_find(&set, in, 0);
		cidr_parse(value, &cidr);
		while (str_present(list_item(&value)))
			;
	}
	struct bounce_template templates[BOUNCE_KINDS];
	unsigned at;
	if (bounce_templates_parse(in, templates, &at, &why))
		for (int i = 0; i < BOUNCE_KINDS; i++)
			if (str_present(templates[i].text))
				expand(templates[i].text, nothing, NULL, a,
					&out, &why);
	struct str rest = alias_lines_join(in, a);
	while (alias_target_next(&rest, a, &target))
		command_words(target.value, nothing, NULL, a, &words, &why);
	arena_free(a);
	return 0;
}
