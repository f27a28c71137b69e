/* SPDX-License-Identifier: ISC */
#ifndef ROLE_MASTER_MASTER_H
#define ROLE_MASTER_MASTER_H

/*
 * master: binds the sockets, starts the roles and starts them again, and is
 * the only one that may be root.  It never reads a byte from the network; it
 * reads from the other roles two kinds of frames, bounded and few.
 */

#include "conf/service.h"

struct master_options {
	const char *dir; /* of main.cf */
	bool foreground;
};

/* Runs until SIGTERM.  The configuration was checked by the caller.
 * Returns an exit code of sysexits.h. */
int master_run(const struct master_options *o);

/* Directories below queue_directory and data_directory, owned by uid/gid
 * (-1: as it is). */
bool master_make_dirs(
	const struct conf *c, int64_t uid, int64_t gid, struct fault *f);

/* The lock file that names a running master; 0: none runs. */
int master_running_pid(const struct conf *c);

/* local.c: one delivery with the rights of an account, in a child process. */
void master_local(const struct conf *c, const struct services *services,
	int sock, struct str payload, int body);

#endif
