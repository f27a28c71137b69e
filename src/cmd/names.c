/* SPDX-License-Identifier: ISC */
#include "cmd/names.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "cmd/cmd.h"

static const struct {
	const char *name;
	name_f *fn;
} names[] = {{"sendmail", name_sendmail}, {"mailq", name_mailq},
	{"newaliases", name_newaliases}, {"postqueue", name_postqueue},
	{"postsuper", name_postsuper}, {"postmap", name_postmap},
	{"postalias", name_postalias}, {"postconf", name_postconf}};

name_f *name_find(const char *argv0)
{
	const char *slash = argv0 != NULL ? strrchr(argv0, '/') : NULL;
	const char *base = slash != NULL ? slash + 1 : argv0;

	for (size_t i = 0; base != NULL && i < ARRAY_LEN(names); i++)
		if (strcmp(base, names[i].name) == 0)
			return names[i].fn;
	return NULL;
}

struct conf *name_conf(const char *dir)
{
	struct problems ignored = {.a = arena_new(SIZE_MAX)};

	return conf_load(conf_find_dir(dir), &ignored);
}

int name_usage(const char *name, const char *usage)
{
	fprintf(stderr, "usage: %s %s\n", name, usage);
	return EX_USAGE;
}

/* postconf [-c dir] and what `postern conf` knows. */
int name_postconf(int argc, char **argv)
{
	static char word[] = "conf";
	const char *dir = NULL;

	if (argc > 2 && strcmp(argv[1], "-c") == 0) {
		dir = argv[2];
		argv += 2;
		argc -= 2;
	}
	struct cmd c = {conf_find_dir(dir), argc, argv,
		"conf [-n] [-d] [-x] [-h] [NAME ...] | conf -e NAME=VALUE "
		"..."};
	argv[0] = word;
	return cmd_conf(&c);
}
