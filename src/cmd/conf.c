/* SPDX-License-Identifier: ISC */
/* postern conf: postconf(1) */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "codec/postfix/lines.h"
#include "sys/file.h"

struct options {
	bool only_set; /* -n */
	bool defaults; /* -d */
	bool expand; /* -x */
	bool no_name; /* -h */
	bool edit; /* -e */
};

static void print_one(const struct conf *conf, const struct options *o,
	struct str name, struct str raw)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct str value = raw;
	const char *why;

	if (o->expand && !conf_expand_text(conf, raw, a, &value, &why)) {
		fprintf(stderr, "postern conf: %.*s: %s\n", STR_ARG(name), why);
		value = raw;
	}
	if (o->no_name)
		printf("%.*s\n", STR_ARG(value));
	else
		printf("%.*s = %.*s\n", STR_ARG(name), STR_ARG(value));
}

static struct str default_of(const struct conf *conf, struct str name)
{
	const struct param *p = param_find(name);
	const struct known_param *k = known_param_find(name);
	const struct str *computed = map_get(conf->computed, name);

	if (computed != NULL)
		return *computed;
	if (p != NULL)
		return str_from(p->fallback);
	return k != NULL ? str_from(k->fallback) : STR_NONE;
}

static int print_named(
	const struct conf *conf, const struct options *o, const char *name)
{
	struct str key = str_from(name);
	struct str raw =
		o->defaults ? default_of(conf, key) : conf_raw(conf, key);

	if (!str_present(raw)) {
		fprintf(stderr, "postern conf: unknown parameter: %s\n", name);
		return EX_DATAERR;
	}
	if (!o->only_set || conf_entry(conf, key) != NULL)
		print_one(conf, o, key, raw);
	return EX_OK;
}

static int by_name(const void *x, const void *y)
{
	return strcmp(*(const char *const *)x, *(const char *const *)y);
}

/* Every name there is, ours and Postfix's, sorted, once. */
static size_t all_names(const char ***names_r)
{
	const char **names = calloc(n_params + n_known_params, sizeof(*names));
	size_t n = 0, kept = 0;

	for (size_t i = 0; i < n_params && names != NULL; i++)
		names[n++] = params[i].name;
	for (size_t i = 0; i < n_known_params && names != NULL; i++)
		names[n++] = known_params[i].name;
	if (names == NULL)
		return 0;
	qsort(names, n, sizeof(*names), by_name);
	for (size_t i = 0; i < n; i++)
		if (kept == 0 || strcmp(names[kept - 1], names[i]) != 0)
			names[kept++] = names[i];
	*names_r = names;
	return kept;
}

static void print_all(const struct conf *conf, const struct options *o)
{
	const char **names = NULL;

	/* In the order of the file, the last entry of a name: what a grep
	 * over the file wants to give. */
	for (size_t i = 0; i < conf->n_order && o->only_set; i++) {
		const struct conf_entry *e =
			conf_entry(conf, conf->order[i].name);

		if (e != NULL && e->line == conf->order[i].line)
			print_one(conf, o, e->name, e->raw);
	}
	if (o->only_set)
		return;
	size_t n = all_names(&names);
	for (size_t i = 0; i < n; i++) {
		struct str name = str_from(names[i]);

		print_one(conf, o, name,
			o->defaults ? default_of(conf, name)
				    : conf_raw(conf, name));
	}
	free(names);
}

/* ---- -e ---- */

/* Is this physical line the start of the entry? */
static bool starts_entry(struct str line, struct str name)
{
	struct str found, value;

	return line.len > 0 && line.ptr[0] != '#' && line.ptr[0] != ' ' &&
	       line.ptr[0] != '\t' &&
	       assignment_parse(line, &found, &value) == ASSIGNMENT_OK &&
	       str_eq(found, name);
}

/* The file with one entry replaced where it stood last, or appended; all
 * else, comments too, byte for byte. */
static void edit_text(
	struct str text, struct str name, struct str value, struct buf *out)
{
	struct str rest = text;
	size_t count = 0, seen = 0;
	bool skipping = false;

	while (str_present(rest))
		count += starts_entry(str_cut(&rest, '\n'), name);
	rest = text;
	while (str_present(rest) && rest.len > 0) {
		struct str line = str_cut(&rest, '\n');
		bool more = line.len > 0 &&
			    (line.ptr[0] == ' ' || line.ptr[0] == '\t') &&
			    str_trim(line).len > 0;

		if (skipping && more)
			continue;
		skipping = false;
		if (starts_entry(line, name)) {
			skipping = true;
			if (++seen == count)
				buf_putf(out, "%.*s = %.*s\n", STR_ARG(name),
					STR_ARG(value));
			continue;
		}
		buf_put(out, line);
		buf_putc(out, '\n');
	}
	if (count == 0)
		buf_putf(out, "%.*s = %.*s\n", STR_ARG(name), STR_ARG(value));
}

static int edit(struct conf *conf, struct cmd *c, int first)
{
	struct buf text CLEANUP(buf_fini);
	struct stat st;
	struct fault f;

	buf_init(&text, 8 << 20);
	if (!file_read(conf->main_cf.ptr, 4 << 20, &text, &f) ||
		stat(conf->main_cf.ptr, &st) != 0) {
		fprintf(stderr, "postern conf: %s\n", f.text);
		return EX_NOINPUT;
	}
	for (int i = first; i < c->argc; i++) {
		struct buf out CLEANUP(buf_fini);
		struct str name, value;

		buf_init(&out, 8 << 20);
		if (assignment_parse(str_from(c->argv[i]), &name, &value) !=
				ASSIGNMENT_OK ||
			strchr(c->argv[i], '\n') != NULL)
			return cmd_usage(
				c, "\"%s\": write NAME=VALUE", c->argv[i]);
		edit_text(buf_str(&text), name, value, &out);
		struct buf old = text;
		text = out;
		out = old;
	}
	if (!file_replace(
		    conf->main_cf.ptr, buf_str(&text), st.st_mode & 0777, &f)) {
		fprintf(stderr, "postern conf: %s\n", f.text);
		return EX_CANTCREAT;
	}
	return EX_OK;
}

int cmd_conf(struct cmd *c)
{
	struct problems problems = {.a = arena_new(SIZE_MAX)};
	struct options o = {0};
	int first = 1, rc = EX_OK;

	for (; first < c->argc && c->argv[first][0] == '-'; first++)
		for (const char *p = c->argv[first] + 1; *p != '\0'; p++) {
			bool *flag = *p == 'n'   ? &o.only_set
				     : *p == 'd' ? &o.defaults
				     : *p == 'x' ? &o.expand
				     : *p == 'h' ? &o.no_name
				     : *p == 'e' ? &o.edit
						 : NULL;

			if (flag == NULL)
				return cmd_usage(c, "unknown option -%c", *p);
			*flag = true;
		}
	struct conf *conf = conf_load(c->dir, &problems);
	for (size_t i = 0; i < problems.n; i++)
		if (problems.v[i].level == PROBLEM_ERROR &&
			problems.v[i].line == 0)
			fprintf(stderr, "postern conf: %.*s\n",
				STR_ARG(problems.v[i].what));
	if (o.edit)
		return edit(conf, c, first);
	if (first == c->argc)
		print_all(conf, &o);
	for (int i = first; i < c->argc; i++) {
		int one = print_named(conf, &o, c->argv[i]);

		if (one != EX_OK)
			rc = one;
	}
	return rc;
}
