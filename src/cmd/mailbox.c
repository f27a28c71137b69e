/* SPDX-License-Identifier: ISC */
/* postern mailbox backup|verify */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "cmd/cmd.h"
#include "store/keeping.h"

static int failed(const struct fault *f)
{
	fprintf(stderr, "postern mailbox: %s\n", f->text);
	return f->class == FAULT_PERM ? EX_DATAERR : EX_IOERR;
}

static void print_problem(const char *what, void *ctx UNUSED)
{
	cmd_put_safe(what);
	putchar('\n');
}

static int verify(const char *dir)
{
	struct store_verified v;
	struct fault f;

	if (!store_verify(dir, print_problem, NULL, &v, &f))
		return failed(&f);
	printf("%llu mailboxes, %llu messages, %llu bodies in files: ",
		(unsigned long long)v.mailboxes, (unsigned long long)v.messages,
		(unsigned long long)v.bodies);
	if (v.problems == 0)
		printf("all is well\n");
	else
		printf("%llu problems\n", (unsigned long long)v.problems);
	return v.problems == 0 ? EX_OK : EX_DATAERR;
}

int cmd_mailbox(struct cmd *c)
{
	struct problems problems = {.a = arena_new(SIZE_MAX)};
	const char *what = c->argc > 1 ? c->argv[1] : "";
	const char *where = c->argc > 2 ? c->argv[2] : NULL;
	struct fault f;

	if (c->argc > 3)
		return cmd_usage(c, "unexpected \"%s\"", c->argv[3]);
	struct conf *conf = conf_load(c->dir, &problems);
	char *dir = str_heap(conf->mail_storage_directory);
	if (strcmp(what, "verify") == 0)
		return verify(where != NULL ? where : dir);
	if (strcmp(what, "backup") != 0)
		return cmd_usage(c, "backup or verify?");
	if (where == NULL)
		return cmd_usage(c, "a directory to put it into is missing");
	if (!store_backup(dir, where, &f))
		return failed(&f);
	return EX_OK;
}
