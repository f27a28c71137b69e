/* SPDX-License-Identifier: ISC */
#ifndef CMD_CMD_H
#define CMD_CMD_H

/*
 * cmd: what people type.  Each command is one file, one row in cmd.c.
 * Returns an exit code of sysexits.h.
 */

#include "base/buf.h"
#include "conf/conf.h"
#include "conf/service.h"
#include "net/resolver.h"

struct cmd {
	const char *dir; /* of main.cf */
	int argc; /* of the command: argv[0] is its name */
	char **argv;
	const char *usage;
};

typedef int cmd_f(struct cmd *c);
cmd_f cmd_start, cmd_stop, cmd_reload, cmd_status, cmd_check, cmd_conf,
	cmd_user, cmd_queue, cmd_why, cmd_send, cmd_authenticate, cmd_dkim,
	cmd_dns, cmd_dmarc, cmd_mailbox;

/* Options "--name value" and "--name"; what is no option stays in order. */
struct option_def {
	const char *name; /* "--subject" */
	bool takes_value;
};
/* Next option's index into defs with its value, -1: a plain word in *value_r,
 * -2: the end, -3: unknown (said). */
int cmd_option(struct cmd *c, int *at, const struct option_def *defs, size_t n,
	const char **value_r);
/* Prints "postern NAME: ..." and returns EX_USAGE. */
int cmd_usage(struct cmd *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Control bytes of strangers stay off the terminal. */
void cmd_put_safe(const char *s);
bool cmd_wants_help(struct cmd *c); /* --help was given and answered */

/* Run by root, path is given to who owns like: root leaves nothing behind that
 * the mail system cannot open.  What is not there is left alone. */
void cmd_give_back(const char *like, const char *path);
/* The resolver of main.cf; NULL and the fault. */
struct resolver *cmd_resolver(const struct conf *c, struct fault *f);

/* check.c: everything that can be found wrong before the start; the exit
 * code says whether an error is among it.  Prints what is at least as bad as
 * level. */
int check_run(const char *dir, enum problem_level level);
/* A password from stdin (one line) or the terminal, twice when new. */
bool cmd_read_password(bool from_stdin, bool twice, struct buf *out);

#endif
