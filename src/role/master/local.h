/* SPDX-License-Identifier: ISC */
#ifndef ROLE_MASTER_LOCAL_H
#define ROLE_MASTER_LOCAL_H

/*
 * What the child of master does that delivers with the rights of an account:
 * local.c decides who and what, local_file.c writes, local_command.c runs.
 * The child has one thread and ends with its one request; it has changed to
 * the account before anything below is called.
 */

#include <pwd.h>

#include "base/arena.h"
#include "conf/service.h"
#include "ipc/messages.h"

struct local {
	const struct conf *conf;
	const struct services *services;
	struct local_request r;
	const struct passwd *pw; /* whom we became */
	struct str by_user; /* mailbox_command_maps; absent: nothing */
	struct str message; /* lines end in CRLF */
	struct arena *a;
};

/* local.c: takes the account's rights.  spool: a directory whose group may
 * write into it, or NULL. */
bool local_become(const struct passwd *pw, const char *spool, struct fault *f);

/* What $name is in forward_path and command_execution_directory; ctx: struct
 * local. */
struct str local_value(struct str name, void *ctx);

/* ---- local_file.c ---- */

/* Appends to the mbox path, or into the Maildir when path ends in "/", and
 * enters a sandbox that allows that directory only.  limit: bytes of the
 * mailbox, 0: none. */
bool local_file(const struct local_request *r, struct str path,
	struct str message, uint64_t limit, struct fault *f);

/* Lines of a file end in LF; quote_from: mboxrd's ">From ". */
void local_put_lf(struct str in, bool quote_from, struct buf *out);
/* "From sender date": mbox(5), and what commands expect first */
void local_put_from_line(struct str sender, struct buf *out);

/* ---- local_command.c ---- */

/*
 * Runs the command with the message as its input: without a shell, in a
 * session and a process group of its own that command_time_limit ends, with
 * an environment that is ours alone.  What sysexits.h says becomes the fault;
 * the output of a command that failed stands in its text.
 */
bool local_command(const struct local *l, struct str command, struct fault *f);

/* The same for words that are ready; in: what it reads.  name: for faults. */
struct local_program {
	const struct strs *words;
	int in;
	const char *directory; /* NULL: the home */
	int64_t seconds; /* that it may run */
	struct str name;
};
bool local_run(
	const struct local *l, const struct local_program *p, struct fault *f);

/* ---- pipe.c ---- */

/* Those of user=, with the group of user=name:group. */
bool local_take_rights(
	struct local *l, const struct pipe_args *p, struct fault *f);
/* pipe(8): the request's transport, as its own line of master.cf says. */
bool local_pipe(struct local *l, struct fault *f);

#endif
