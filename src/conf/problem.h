/* SPDX-License-Identifier: ISC */
#ifndef CONF_PROBLEM_H
#define CONF_PROBLEM_H

/*
 * problem: what is wrong with a configuration, where, and what to write.
 * Collected, sorted and printed by `postern check`; start refuses on an
 * error.
 */

#include "base/arena.h"

enum problem_level { PROBLEM_ERROR, PROBLEM_WARNING, PROBLEM_NOTE };

struct problem {
	enum problem_level level;
	struct str file;
	unsigned line; /* 0: the whole file, or a default */
	struct str what;
	struct str write; /* suggestion; absent without */
};

struct problems {
	struct problem *v;
	size_t n;
	size_t cap;
	struct arena *a;
};

void problem_add(struct problems *p, enum problem_level level, struct str file,
	unsigned line, struct str what, struct str write);
size_t problems_count(const struct problems *p, enum problem_level level);
const char *problem_level_name(enum problem_level level);
/* By file, line, level. */
void problems_sort(struct problems *p);

#endif
