/* SPDX-License-Identifier: ISC */
/* postern mailbox backup|verify|undelete */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "cmd/cmd.h"
#include "store/account.h"
#include "store/keeping.h"
#include "store/undelete.h"

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

/* Beside the files, SQLite leaves two of its own: not as root's. */
static void give_back(const char *dir)
{
	static const char *const tails[] = {"-wal", "-shm"};
	char path[4200];

	for (unsigned i = 0; i < 256; i++)
		for (size_t k = 0; k < ARRAY_LEN(tails); k++) {
			snprintf(path, sizeof(path), "%s/mail.%u.db%s", dir, i,
				tails[k]);
			cmd_give_back(dir, path);
		}
}

static int undelete(const struct conf *conf, const char *dir,
	const char *address, int64_t since)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct accounts *accounts;
	struct account account;
	uint64_t n = 0;
	struct fault f;

	accounts = accounts_open(str_heap(conf->data_directory), &f);
	if (accounts == NULL)
		return failed(&f);
	switch (account_get(accounts, str_from(address), a, &account, &f)) {
	case ACCOUNT_FOUND:
		break;
	case ACCOUNT_NONE:
		fault_set(&f, FAULT_PERM, 0, 1, 1, "there is no account %s",
			address);
		accounts_close(accounts);
		return failed(&f);
	case ACCOUNT_ERROR:
		accounts_close(accounts);
		return failed(&f);
	}
	accounts_close(accounts);
	if (!store_undelete(dir, account.id, since, &n, &f))
		return failed(&f);
	printf("%llu messages are back\n", (unsigned long long)n);
	return EX_OK;
}

static int act(struct cmd *c, const struct conf *conf, const char *dir,
	const char *what, const char *where)
{
	struct fault f;

	if (strcmp(what, "verify") == 0)
		return verify(where != NULL ? where : dir);
	if (strcmp(what, "backup") != 0 && strcmp(what, "undelete") != 0)
		return cmd_usage(c, "backup, verify or undelete?");
	if (where == NULL)
		return cmd_usage(c, strcmp(what, "backup") == 0
					    ? "a directory is missing"
					    : "an address is missing");
	if (strcmp(what, "undelete") == 0)
		return undelete(conf, dir, where, 0);
	return store_backup(dir, where, &f) ? EX_OK : failed(&f);
}

int cmd_mailbox(struct cmd *c)
{
	struct problems problems = {.a = arena_new(SIZE_MAX)};

	if (c->argc > 3)
		return cmd_usage(c, "unexpected \"%s\"", c->argv[3]);
	struct conf *conf = conf_load(c->dir, &problems);
	char *dir = str_heap(conf->mail_storage_directory);
	int rc = act(c, conf, dir, c->argc > 1 ? c->argv[1] : "",
		c->argc > 2 ? c->argv[2] : NULL);
	give_back(dir);
	return rc;
}
