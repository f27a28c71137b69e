/* SPDX-License-Identifier: ISC */
#include "cmd/check_aliases.h"

#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "codec/postfix/aliases.h"
#include "codec/postfix/lines.h"
#include "sys/file.h"

enum { ALIAS_FILE_MAX = 64 << 20 };

struct place {
	const struct conf *c;
	struct problems *p;
	struct str file;
	unsigned line;
};

static void warn(const struct place *at, struct str what, struct str write)
{
	problem_add(at->p, PROBLEM_WARNING, at->file, at->line, what, write);
}

static struct str any_value(struct str name UNUSED, void *ctx UNUSED)
{
	return STR("x");
}

static void check_command(const struct place *at, struct str command)
{
	struct arena *a = at->p->a;
	struct strs words;
	const char *why;

	if (!command_words(command, any_value, NULL, a, &words, &why)) {
		warn(at,
			arena_printf(a,
				"|%.*s: %s; commands are run without one",
				STR_ARG(command), why),
			STR("write |/bin/sh -c '...'"));
		return;
	}
	if (words.v[0].ptr[0] == '/' &&
		access(arena_cstr(a, words.v[0]), X_OK) != 0)
		warn(at,
			arena_printf(
				a, "%.*s cannot be run", STR_ARG(words.v[0])),
			STR("mail for this alias would be deferred"));
}

static void check_restricted(
	const struct place *at, const char *param, struct str allowed)
{
	if (!conf_option_has(allowed, "alias"))
		warn(at,
			arena_printf(at->p->a,
				"%s does not name alias: mail "
				"for this alias would bounce",
				param),
			STR_NONE);
}

static void check_target(const struct place *at, const struct alias_target *t)
{
	struct arena *a = at->p->a;

	switch (t->kind) {
	case ALIAS_COMMAND:
		check_restricted(at, "allow_mail_to_commands",
			at->c->allow_mail_to_commands);
		check_command(at, t->value);
		break;
	case ALIAS_FILE:
		check_restricted(
			at, "allow_mail_to_files", at->c->allow_mail_to_files);
		break;
	case ALIAS_INCLUDE:
		if (access(arena_cstr(a, t->value), R_OK) != 0)
			warn(at,
				arena_printf(a, ":include:%.*s cannot be read",
					STR_ARG(t->value)),
				STR("mail for this alias would be deferred"));
		break;
	case ALIAS_ADDRESS:
	case ALIAS_USER:
		break;
	}
}

static void check_file(struct place *at)
{
	struct buf text CLEANUP(buf_fini);
	struct arena *a = at->p->a;
	struct logical_lines lines;
	struct logical_line line;
	struct fault f;

	buf_init(&text, ALIAS_FILE_MAX + 65536);
	if (!file_read(arena_cstr(a, at->file), ALIAS_FILE_MAX, &text, &f))
		return; /* that it cannot be opened was told */
	logical_lines_init(&lines, arena_str(a, buf_str(&text)), a);
	while (logical_lines_next(&lines, &line)) {
		struct alias_target target;
		struct str key, value;
		const char *why;

		if (!table_entry_parse(line.text, true, a, &key, &value, &why))
			continue;
		at->line = line.first;
		while (alias_target_next(&value, a, &target))
			check_target(at, &target);
	}
}

void check_aliases(
	const struct conf *c, struct tables *tables, struct problems *p)
{
	const struct conf_entry *e = conf_entry(c, STR("mailbox_command"));
	struct str item, type, name, rest = c->alias_maps;
	struct place at = {.c = c, .p = p};

	/* alias_database is only looked at: nothing has to be built. */
	maps_open(tables, c, "alias_database", c->alias_database, MAPS_ALIASES,
		p);
	while (str_present(item = list_item(&rest))) {
		table_spec_split(item, &type, &name);
		at.file = name;
		if (str_present(type) && str_starts(name, "/") &&
			!str_eqc(type, "regexp") && !str_eqc(type, "pcre") &&
			!str_eqc(type, "cidr"))
			check_file(&at);
	}
	if (e != NULL && e->raw.len > 0) {
		at.file = e->file;
		at.line = e->line;
		check_command(&at, e->raw);
	}
}
