/* SPDX-License-Identifier: ISC */
/*
 * postmap(1), postalias(1), newaliases(1): tables are read from their text, so
 * there is nothing to build; scripts that build get their file checked.
 */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "cmd/names.h"
#include "codec/postfix/lines.h"
#include "conf/table.h"
#include "sys/file.h"

struct job {
	const char *name; /* of the program */
	struct conf *c;
	struct arena *a;
	bool aliases;
	const char *key; /* -q */
	bool list; /* -s */
};

static void tell(const struct job *j, const struct problems *p)
{
	for (size_t i = 0; i < p->n; i++)
		fprintf(stderr, "%s: %s: %.*s, line %u: %.*s\n", j->name,
			problem_level_name(p->v[i].level),
			STR_ARG(p->v[i].file), p->v[i].line,
			STR_ARG(p->v[i].what));
}

/* "type:name"; a bare name has default_database_type. */
static struct maps *open_maps(struct job *j, const char *word)
{
	struct table_env env = {0};
	struct problems p = {.a = j->a};
	struct str spec = str_from(word);

	if (str_find(spec, ':') < 0)
		spec = arena_concat(j->a, STR("hash:"), spec);
	struct maps *m = maps_open(tables_new(&env), j->c, j->name, spec,
		j->aliases ? MAPS_ALIASES : 0, &p);
	tell(j, &p);
	return problems_count(&p, PROBLEM_ERROR) > 0 ? NULL : m;
}

static int ask(struct job *j, struct maps *m, struct str key, bool with_key)
{
	struct str value;
	struct fault f;

	switch (maps_lookup(m, key, j->a, &value, &f)) {
	case TABLE_FOUND:
		if (with_key)
			printf("%.*s\t", STR_ARG(key));
		printf("%.*s\n", STR_ARG(value));
		return 0;
	case TABLE_NONE:
		return 1;
	case TABLE_ERROR:
		break;
	}
	fprintf(stderr, "%s: fatal: %s\n", j->name, f.text);
	return EX_TEMPFAIL;
}

/* -q -: keys from stdin; 0 when one was found */
static int ask_stdin(struct job *j, struct maps *m)
{
	char line[4096];
	int rc = 1;

	while (fgets(line, sizeof(line), stdin) != NULL) {
		line[strcspn(line, "\r\n")] = '\0';
		int one = ask(j, m, str_from(line), true);
		if (one > 1)
			return one;
		rc = one == 0 ? 0 : rc;
	}
	return rc;
}

/* -s: what stands in the text */
static int list(struct job *j, const char *word)
{
	struct buf text CLEANUP(buf_fini);
	struct str type, name, key, value;
	struct logical_lines lines;
	struct logical_line line;
	const char *why;
	struct fault f;

	table_spec_split(str_from(word), &type, &name);
	buf_init(&text, 256 << 20);
	if (!file_read(arena_cstr(j->a, name), 255 << 20, &text, &f)) {
		fprintf(stderr, "%s: fatal: %s\n", j->name, f.text);
		return 1;
	}
	logical_lines_init(&lines, buf_str(&text), j->a);
	while (logical_lines_next(&lines, &line))
		if (table_entry_parse(
			    line.text, j->aliases, j->a, &key, &value, &why))
			printf("%.*s\t%.*s\n", STR_ARG(key), STR_ARG(value));
	return 0;
}

static int run(struct job *j, const char *word)
{
	struct maps *m = open_maps(j, word);

	if (m == NULL)
		return 1;
	if (j->list)
		return list(j, word);
	if (j->key == NULL)
		return 0; /* it was read, and is all right */
	return strcmp(j->key, "-") == 0 ? ask_stdin(j, m)
					: ask(j, m, str_from(j->key), false);
}

static int main_of(const char *name, bool aliases, int argc, char **argv)
{
	static const char usage[] = "[-c dir] [-q key] [-s] [type:]file ...";
	struct job j = {
		.name = name, .a = arena_new(SIZE_MAX), .aliases = aliases};
	const char *dir = NULL;
	int ch, rc = 0;

	while ((ch = getopt(argc, argv, "c:d:FfN:hijmnopq:rsuvw")) != -1) {
		if (ch == 'c')
			dir = optarg;
		else if (ch == 'q')
			j.key = optarg;
		else if (ch == 's')
			j.list = true;
		else if (ch == '?')
			return name_usage(name, usage);
		else if (ch == 'd' || ch == 'i') {
			fprintf(stderr,
				"%s: -%c is not supported: edit the text\n",
				name, ch);
			return EX_USAGE;
		}
	}
	if (optind == argc)
		return name_usage(name, usage);
	j.c = name_conf(dir);
	for (int i = optind; i < argc; i++) {
		rc = run(&j, argv[i]);
		/* The first table that knows the key. */
		if (j.key != NULL && rc != 1)
			return rc;
		if (j.key == NULL && rc != 0)
			return rc;
	}
	return rc;
}

int name_postmap(int argc, char **argv)
{
	return main_of("postmap", false, argc, argv);
}

int name_postalias(int argc, char **argv)
{
	return main_of("postalias", true, argc, argv);
}

int name_newaliases(int argc UNUSED, char **argv UNUSED)
{
	struct job j = {.name = "newaliases",
		.a = arena_new(SIZE_MAX),
		.c = name_conf(NULL),
		.aliases = true};
	struct str rest = j.c->alias_database, item;
	int rc = 0;

	while (str_present(item = list_item(&rest)))
		rc |= run(&j, arena_cstr(j.a, item));
	return rc;
}
