/* SPDX-License-Identifier: ISC */
#include "base/must.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void must_failed(const char *what, const char *file, int line)
{
	fprintf(stderr, "postern: bug: %s:%d: %s\n", file, line, what);
	abort();
}

void *must_alloc(unsigned long bytes)
{
	void *p = calloc(1, bytes > 0 ? bytes : 1);

	must(p != NULL);
	return p;
}

void *must_alloc_raw(unsigned long bytes)
{
	void *p = malloc(bytes > 0 ? bytes : 1);

	must(p != NULL);
	return p;
}

void *must_realloc(void *old, unsigned long bytes)
{
	void *p = realloc(old, bytes > 0 ? bytes : 1);

	must(p != NULL);
	return p;
}

char *must_strdup(const char *text)
{
	char *p = strdup(text);

	must(p != NULL);
	return p;
}
