/* SPDX-License-Identifier: ISC */
/* Picks a role or a command by argv. */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/must.h"
#include "cmd/main.h"
#include "cmd/names.h"
#include "db/db.h"
#include "role/role.h"

static const struct {
	const char *name;
	int (*run)(struct role *r);
} roles[] = {{"auth", role_auth}, {"queue", role_queue},
	{"report", role_report}, {"mailbox", role_mailbox},
	{"smtpd", role_smtpd}, {"sender", role_sender}};

static int run_role(int argc, char **argv)
{
	struct role *r = must_alloc(sizeof(*r));

	/* postern role DIR NAME INDEX ... */
	for (size_t i = 0; argc >= 5 && i < ARRAY_LEN(roles); i++)
		if (strcmp(argv[3], roles[i].name) == 0) {
			role_begin(r, argc - 2, argv + 2);
			/* Threads of agents still run: exit() would take
			 * OpenSSL's state away under them. */
			_exit(roles[i].run(r));
		}
	fprintf(stderr, "postern: roles are started by master\n");
	return EX_USAGE;
}

int main(int argc, char **argv)
{
	db_configure();
	name_f *name = argc > 0 ? name_find(argv[0]) : NULL;

	if (name != NULL)
		return name(argc, argv);
	if (argc > 1 && strcmp(argv[1], "role") == 0)
		return run_role(argc, argv);
	return cmd_main(argc, argv);
}
