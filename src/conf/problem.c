/* SPDX-License-Identifier: ISC */
#include "conf/problem.h"

#include <stdlib.h>
#include <string.h>

void problem_add(struct problems *p, enum problem_level level, struct str file,
	unsigned line, struct str what, struct str write)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->v[i].line == line && str_eq(p->v[i].what, what) &&
			str_eq(p->v[i].file, file))
			return;
	if (p->n == p->cap) {
		size_t cap = p->cap > 0 ? p->cap * 2 : 16;
		struct problem *v = arena_alloc(p->a, cap * sizeof(*v));

		if (p->n > 0)
			memcpy(v, p->v, p->n * sizeof(*v));
		p->v = v;
		p->cap = cap;
	}
	p->v[p->n++] = (struct problem){level, arena_str(p->a, file), line,
		arena_str(p->a, what), arena_str(p->a, write)};
}

size_t problems_count(const struct problems *p, enum problem_level level)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n; i++)
		n += p->v[i].level == level;
	return n;
}

const char *problem_level_name(enum problem_level level)
{
	switch (level) {
	case PROBLEM_ERROR:
		return "error";
	case PROBLEM_WARNING:
		return "warning";
	case PROBLEM_NOTE:
		return "note";
	}
	return "";
}

static int by_place(const void *x, const void *y)
{
	const struct problem *a = x;
	const struct problem *b = y;
	int c = str_cmp(a->file, b->file);

	if (c != 0)
		return c;
	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	return (int)a->level - (int)b->level;
}

void problems_sort(struct problems *p)
{
	if (p->n > 1)
		qsort(p->v, p->n, sizeof(*p->v), by_place);
}
