/* SPDX-License-Identifier: ISC */
#ifndef BASE_MUST_H
#define BASE_MUST_H

/*
 * must: a condition whose failure is a bug of ours.  Always compiled in;
 * prints where and aborts the process, which master restarts.  Never used on
 * facts that a peer or a file can influence.
 */

#include "base/attr.h"

#define must(cond)                                                             \
	do {                                                                   \
		if (__builtin_expect(!(cond), 0))                              \
			must_failed(#cond, __FILE__, __LINE__);                \
	} while (0)

NORETURN void must_failed(const char *what, const char *file, int line);

/* malloc family that never returns NULL; the memory is zeroed. */
void *must_alloc(unsigned long bytes);
/* The same without the zeros, for who writes all of it. */
void *must_alloc_raw(unsigned long bytes);
void *must_realloc(void *old, unsigned long bytes);
char *must_strdup(const char *text);

#endif
