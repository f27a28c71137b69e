/* SPDX-License-Identifier: ISC */
#include "conf/line_conf.h"

#include "conf/stand_in.h"

void master_lines_read(const struct conf *base, struct str file,
	struct str text, struct master_lines *all_r, struct problems *problems)
{
	struct logical_lines lines;
	struct logical_line line;
	struct master_entry e;
	const char *why;

	*all_r = (struct master_lines){.file = file};
	logical_lines_init(&lines, text, base->a);
	while (logical_lines_next(&lines, &line)) {
		e.line = line.first;
		if (!master_line_parse(line.text, base->a, &e.m, &why)) {
			problem_add(problems, PROBLEM_ERROR, file, line.first,
				str_from(why), STR_NONE);
			continue;
		}
		all_r->v = arena_grown(base->a, all_r->v, all_r->n, &all_r->cap,
			sizeof(*all_r->v));
		all_r->v[all_r->n++] = e;
	}
}

const struct master_entry *master_lines_find(const struct master_lines *all,
	struct str name, struct str type, const char *command)
{
	for (size_t i = all->n; i-- > 0;) {
		const struct master_line *m = &all->v[i].m;

		if (str_eqc(m->command, command) &&
			(!str_present(name) || str_eq(m->service, name)) &&
			(!str_present(type) || str_eq(m->type, type)))
			return &all->v[i];
	}
	return NULL;
}

/* ---- one line's -o ---- */

struct overrides {
	struct conf_override *v;
	size_t n;
	struct str command; /* of the line that they are for */
	const struct master_lines *all;
	struct arena *a;
	struct problems *problems;
};

/* The next "name=value" among the arguments; absent: no more. */
static struct str next_setting(const struct strs *args, size_t *at)
{
	while (*at < args->n) {
		struct str arg = args->v[(*at)++];

		if (str_eqc(arg, "-o") && *at < args->n)
			return args->v[(*at)++];
		if (str_starts(arg, "-o"))
			return str_from_at(arg, 2);
	}
	return STR_NONE;
}

static void take(struct overrides *o, const struct master_entry *e)
{
	struct str arg;

	for (size_t at = 0; str_present(arg = next_setting(&e->m.args, &at));) {
		struct conf_override *one = &o->v[o->n];

		if (assignment_parse(arg, &one->name, &one->value) !=
			ASSIGNMENT_OK) {
			problem_add(o->problems, PROBLEM_ERROR, o->all->file,
				e->line,
				arena_printf(o->a, "-o %.*s: no name=value",
					STR_ARG(arg)),
				STR("write -o name=value, or "
				    "-o { name = value }"));
			continue;
		}
		one->line = e->line;
		o->n = stand_in_take_name(o->v, o->n, o->command, o->a);
	}
}

/* ---- cleanup(8) ---- */

/* The last -o cleanup_service_name; main.cf's where there is none. */
static struct str cleanup_name(const struct conf *base,
	const struct master_entry *const *parts, size_t n)
{
	struct str found = base->cleanup_service_name, arg, name, value;

	for (size_t i = 0; i < n; i++)
		for (size_t at = 0; str_present(
			     arg = next_setting(&parts[i]->m.args, &at));)
			if (assignment_parse(arg, &name, &value) ==
					ASSIGNMENT_OK &&
				str_eqc(name, "cleanup_service_name"))
				found = value;
	return found;
}

/* Its line; NULL: none, or none that sets anything. */
static const struct master_entry *cleanup_line(const struct conf *base,
	const struct master_lines *all, const struct master_entry *const *parts,
	size_t n, struct problems *problems)
{
	struct str name = cleanup_name(base, parts, n);
	const struct master_entry *e =
		master_lines_find(all, name, STR_NONE, "cleanup");

	if (e == NULL && !str_eqc(name, "cleanup"))
		problem_add(problems, PROBLEM_ERROR, all->file,
			parts[n - 1]->line,
			arena_printf(base->a,
				"cleanup_service_name: there is no cleanup "
				"line %.*s",
				STR_ARG(name)),
			STR("write it, or set its -o here"));
	return e;
}

/* ---- all of them ---- */

static size_t settings_max(const struct master_entry *const *parts, size_t n,
	const struct master_entry *cleanup)
{
	size_t max = n_known_params + 1;

	for (size_t i = 0; i < n; i++)
		max += parts[i]->m.args.n;
	return cleanup != NULL ? max + cleanup->m.args.n : max;
}

struct conf *line_conf(const struct conf *base, const struct master_lines *all,
	const struct master_entry *const *parts, size_t n, bool cleans,
	struct problems *problems)
{
	const struct master_entry *cleanup =
		cleans ? cleanup_line(base, all, parts, n, problems) : NULL;
	struct overrides o = {.command = parts[n - 1]->m.command,
		.all = all,
		.a = base->a,
		.problems = problems};

	o.v = arena_alloc(
		base->a, settings_max(parts, n, cleanup) * sizeof(*o.v));
	o.n = stand_in_overrides(base, o.command, o.v);
	if (cleanup != NULL)
		take(&o, cleanup);
	for (size_t i = 0; i < n; i++)
		take(&o, parts[i]);
	/* Problems of main.cf were told once, by the base. */
	struct problems quiet = {.a = base->a};
	struct conf *c = conf_load_texts(base->dir.ptr, base->main_text,
		base->master_text, o.v, o.n, &quiet);
	for (size_t i = 0; i < quiet.n; i++)
		if (str_eq(quiet.v[i].file, all->file))
			problem_add(problems, quiet.v[i].level, quiet.v[i].file,
				quiet.v[i].line, quiet.v[i].what,
				quiet.v[i].write);
	return c;
}
