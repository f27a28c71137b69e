/* SPDX-License-Identifier: ISC */
/*
 * Runs every file of the given folder, each prefix of it and each of its
 * bytes changed, through the target: what once broke stays mended.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "tests/fuzz/fuzz.h"

enum { PREFIXES_MAX = 400 };

/* Exactly size bytes: a sanitizer sees every read beyond. */
static void run(const char *bytes, size_t size)
{
	uint8_t *copy = must_alloc(size);

	if (size > 0)
		memcpy(copy, bytes, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

static void run_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	static char bytes[1 << 20];

	must(f != NULL);
	size_t n = fread(bytes, 1, sizeof(bytes), f);
	fclose(f);
	run(bytes, n);
	for (size_t i = 0; i < n && i < PREFIXES_MAX; i++) {
		static const char odd[] = {0, '\n', '\r', (char)0xff, '"', '('};
		char old = bytes[i];

		run(bytes, i);
		for (size_t k = 0; k < sizeof(odd); k++) {
			bytes[i] = odd[k];
			run(bytes, n);
		}
		bytes[i] = old;
	}
}

int main(int argc, char **argv)
{
	size_t count = 0;

	must(argc == 2);
	DIR *d = opendir(argv[1]);
	must(d != NULL);
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		char path[4096];

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", argv[1], e->d_name);
		run_file(path);
		count++;
	}
	closedir(d);
	must(count > 0);
	printf("%zu inputs\n", count);
	return 0;
}
