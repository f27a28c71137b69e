/* SPDX-License-Identifier: ISC */
/* postern user add|list|passwd|del */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/buf.h"
#include "cmd/cmd.h"
#include "codec/postfix/value.h"
#include "codec/smtp/path.h"
#include "store/account.h"

static void print_one(struct str address, void *ctx UNUSED)
{
	printf("%.*s\n", STR_ARG(address));
}

/* The files belong to whom the data directory belongs, not to root. */
static void give_back(const char *data_dir)
{
	static const char *const files[] = {
		"", "/accounts.db", "/accounts.db-wal", "/accounts.db-shm"};
	char path[4096];

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		snprintf(path, sizeof(path), "%s/accounts%s", data_dir,
			files[i]);
		cmd_give_back(data_dir, path);
	}
}

static int act(struct cmd *c, struct accounts *accounts, const char *what,
	const char *address, bool from_stdin)
{
	struct buf password CLEANUP(buf_fini);
	struct fault f;
	bool ok;

	buf_init(&password, 1024);
	if (!smtp_address_valid(str_from(address), true))
		return cmd_usage(
			c, "\"%s\" is no address: write user@domain", address);
	if (strcmp(what, "del") == 0) {
		ok = account_del(accounts, str_from(address), &f);
	} else {
		if (!cmd_read_password(from_stdin, true, &password)) {
			fprintf(stderr, "postern user: no password given\n");
			return EX_DATAERR;
		}
		ok = strcmp(what, "add") == 0
			     ? account_add(accounts, str_from(address),
				       buf_str(&password), &f)
			     : account_passwd(accounts, str_from(address),
				       buf_str(&password), &f);
	}
	if (ok)
		return EX_OK;
	fprintf(stderr, "postern user: %s\n", f.text);
	return f.class == FAULT_PERM ? EX_DATAERR : EX_IOERR;
}

int cmd_user(struct cmd *c)
{
	static const struct option_def defs[] = {{"--password-stdin", false}};
	static const char *const verbs[] = {"add", "passwd", "del", "list"};
	struct problems problems = {.a = arena_new(SIZE_MAX)};
	const char *what = NULL, *address = NULL, *value;
	bool from_stdin = false, known = false;
	struct fault f;
	int at = 1, i;

	while ((i = cmd_option(c, &at, defs, ARRAY_LEN(defs), &value)) != -2) {
		if (i == -3)
			return EX_USAGE;
		if (i == 0)
			from_stdin = true;
		else if (what == NULL)
			what = value;
		else if (address == NULL)
			address = value;
		else
			return cmd_usage(c, "unexpected \"%s\"", value);
	}
	for (size_t k = 0; k < ARRAY_LEN(verbs) && what != NULL; k++)
		known |= strcmp(what, verbs[k]) == 0;
	if (!known) {
		const char *near = what == NULL
					   ? NULL
					   : nearest_name(str_from(what), verbs,
						     ARRAY_LEN(verbs));
		return cmd_usage(c, "%s%s",
			near != NULL ? "did you mean "
				     : "add, list, passwd or del?",
			near != NULL ? near : "");
	}
	bool list = strcmp(what, "list") == 0;
	if (list != (address == NULL))
		return cmd_usage(c, list ? "list takes no address"
					 : "an address is missing");
	struct conf *conf = conf_load(c->dir, &problems);
	char *dir = str_heap(conf->data_directory);
	struct accounts *accounts = accounts_open(dir, &f);
	if (accounts == NULL) {
		fprintf(stderr, "postern user: %s\n", f.text);
		return EX_CANTCREAT;
	}
	int rc = EX_OK;
	if (!list)
		rc = act(c, accounts, what, address, from_stdin);
	else if (!account_each(accounts, print_one, NULL, &f))
		rc = EX_IOERR;
	accounts_close(accounts);
	give_back(dir);
	return rc;
}
