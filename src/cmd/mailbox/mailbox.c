/* SPDX-License-Identifier: ISC */
/* postern mailbox backup|verify|repair|undelete|import|export|restore */
#include "cmd/mailbox/mailbox.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "role/master/master.h"
#include "store/account.h"
#include "store/keeping.h"
#include "store/undelete.h"

int mailbox_failed(const struct fault *f)
{
	fprintf(stderr, "postern mailbox: %s\n", f->text);
	return f->class == FAULT_PERM ? EX_DATAERR : EX_IOERR;
}

bool mailbox_account(const struct conf *conf, const char *address,
	int64_t *id_r, struct fault *f)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct accounts *accounts =
		accounts_open(str_heap(conf->data_directory), f);
	struct account account;

	if (accounts == NULL)
		return false;
	enum account_result r = account_get(
		accounts, arena_lower(a, str_from(address)), a, &account, f);
	accounts_close(accounts);
	if (r == ACCOUNT_NONE)
		fault_set(f, FAULT_PERM, 0, 1, 1, "there is no account %s",
			address);
	if (r == ACCOUNT_FOUND)
		*id_r = account.id;
	return r == ACCOUNT_FOUND;
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

/* ---- the short ones ---- */

static void print_problem(const char *what, void *ctx UNUSED)
{
	cmd_put_safe(what);
	putchar('\n');
}

static int verify(const struct mailbox_cmd *m)
{
	const char *dir = m->args[0] != NULL ? m->args[0] : m->dir;
	struct store_verified v;
	struct fault f;

	if (!store_verify(dir, print_problem, NULL, &v, &f))
		return mailbox_failed(&f);
	printf("%llu mailboxes, %llu messages, %llu bodies in files: ",
		(unsigned long long)v.mailboxes, (unsigned long long)v.messages,
		(unsigned long long)v.bodies);
	if (v.problems == 0)
		printf("all is well\n");
	else
		printf("%llu problems\n", (unsigned long long)v.problems);
	return v.problems == 0 ? EX_OK : EX_DATAERR;
}

static int repair(const struct mailbox_cmd *m)
{
	struct store_repaired r;
	struct fault f;

	if (!store_repair(m->dir, master_running_pid(m->conf) == 0,
		    print_problem, NULL, &r, &f))
		return mailbox_failed(&f);
	if (r.mended == 0 && r.lost == 0)
		printf("all is well\n");
	else
		printf("%llu mended, %llu messages are lost\n",
			(unsigned long long)r.mended,
			(unsigned long long)r.lost);
	return r.lost == 0 ? EX_OK : EX_DATAERR;
}

static int undelete(const struct mailbox_cmd *m)
{
	int64_t account;
	uint64_t n = 0;
	struct fault f;

	if (!mailbox_account(m->conf, m->args[0], &account, &f) ||
		!store_undelete(m->dir, account, 0, &n, &f))
		return mailbox_failed(&f);
	printf("%llu messages are back\n", (unsigned long long)n);
	return EX_OK;
}

static int backup(const struct mailbox_cmd *m)
{
	struct fault f;

	return store_backup(m->dir, m->args[0], &f) ? EX_OK
						    : mailbox_failed(&f);
}

/* ---- the table ---- */

static const struct verb {
	const char *name;
	int (*run)(const struct mailbox_cmd *m);
	const char *args[2]; /* what is missing without */
	bool optional;
	bool mailbox, format; /* the options it has */
} verbs[] = {{"backup", backup, {"a directory"}},
	{"verify", verify, {"a directory"}, .optional = true},
	{"repair", repair, {NULL}}, {"undelete", undelete, {"an address"}},
	{"import", mailbox_cmd_import, {"an address", "a path"},
		.mailbox = true},
	{"export", mailbox_cmd_export, {"an address", "a directory"},
		.format = true},
	{"restore", mailbox_cmd_restore, {"an address", "a backup"}}};

static int act(struct mailbox_cmd *m, const char *what, int n)
{
	for (size_t i = 0; what != NULL && i < ARRAY_LEN(verbs); i++) {
		const struct verb *v = &verbs[i];

		if (strcmp(v->name, what) != 0)
			continue;
		if (n < 2 && v->args[n] != NULL && !v->optional)
			return cmd_usage(m->c, "%s is missing", v->args[n]);
		if (n > 0 && v->args[n - 1] == NULL)
			return cmd_usage(
				m->c, "unexpected \"%s\"", m->args[n - 1]);
		if (m->mailbox != NULL && !v->mailbox)
			return cmd_usage(m->c, "%s has no --mailbox", what);
		if (m->format != NULL && !v->format)
			return cmd_usage(m->c, "%s has no --format", what);
		return v->run(m);
	}
	return cmd_usage(m->c,
		"backup, verify, repair, undelete, import, export or "
		"restore?");
}

int cmd_mailbox(struct cmd *c)
{
	static const struct option_def defs[] = {
		{"--mailbox", true}, {"--format", true}};
	struct problems problems = {.a = arena_new(SIZE_MAX)};
	struct mailbox_cmd m = {.c = c};
	const char *what = NULL, *value;
	int at = 1, n = 0, i;

	while ((i = cmd_option(c, &at, defs, ARRAY_LEN(defs), &value)) != -2) {
		if (i == -3)
			return EX_USAGE;
		if (i == 0)
			m.mailbox = value;
		else if (i == 1)
			m.format = value;
		else if (what == NULL)
			what = value;
		else if (n < 2)
			m.args[n++] = value;
		else
			return cmd_usage(c, "unexpected \"%s\"", value);
	}
	m.conf = conf_load(c->dir, &problems);
	m.dir = str_heap(m.conf->mail_storage_directory);
	int rc = act(&m, what, n);
	give_back(m.dir);
	return rc;
}
