/* SPDX-License-Identifier: ISC */
#include "cmd/check_programs.h"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

struct checking {
	const struct services *s;
	struct arena *a;
	struct problems *p;
	enum problem_level level;
};

static void warn(
	struct checking *x, unsigned line, struct str what, const char *write)
{
	problem_add(
		x->p, x->level, x->s->master_cf, line, what, str_from(write));
}

static void check_one(struct checking *x, unsigned line, struct str name,
	const struct pipe_args *args)
{
	const struct passwd *pw = getpwnam(arena_cstr(x->a, args->user));

	if (pw == NULL)
		warn(x, line,
			arena_printf(x->a, "%.*s: there is no account %.*s",
				STR_ARG(name), STR_ARG(args->user)),
			"make it, or name another one");
	else if (pw->pw_uid == 0)
		warn(x, line,
			arena_printf(x->a, "%.*s: nothing runs as root",
				STR_ARG(name)),
			"name another account");
	if (args->group.len > 0 &&
		getgrnam(arena_cstr(x->a, args->group)) == NULL)
		warn(x, line,
			arena_printf(x->a, "%.*s: there is no group %.*s",
				STR_ARG(name), STR_ARG(args->group)),
			"make it, or name another one");
	/* A bare name is looked for when it is run. */
	if (str_find(args->argv.v[0], '/') >= 0 &&
		access(arena_cstr(x->a, args->argv.v[0]), X_OK) != 0)
		warn(x, line,
			arena_printf(x->a, "%.*s: %.*s cannot be run",
				STR_ARG(name), STR_ARG(args->argv.v[0])),
			"install it, or take the line out");
}

void check_programs(
	const struct services *s, struct arena *a, struct problems *p)
{
	/* Postfix's own master.cf has pipe lines that few need. */
	struct checking x = {s, a, p, PROBLEM_NOTE};

	for (size_t i = 0; i < s->n_transports; i++)
		if (s->transports[i].pipe != NULL)
			check_one(&x, s->transports[i].line,
				s->transports[i].name, s->transports[i].pipe);
	x.level = PROBLEM_WARNING;
	for (size_t i = 0; i < s->n_spawns; i++)
		check_one(&x, s->spawns[i].line, s->spawns[i].name,
			s->spawns[i].args);
}
