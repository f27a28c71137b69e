/* SPDX-License-Identifier: ISC */
#ifndef ROLE_QUEUE_SHOWQ_H
#define ROLE_QUEUE_SHOWQ_H

/*
 * showq: what any user of the machine may ask: mailq, and that mail is tried
 * now (authorized_mailq_users, authorized_flush_users).  The kernel says who it
 * is, so mailq needs no set-gid bit.  A socket and threads of its own: who is
 * slow here delays nobody's mail.
 */

#include "ipc/ipc.h"
#include "role/role.h"

struct showq;

/* Before the sandbox; NULL where there can be no socket, which is logged. */
struct showq *showq_new(struct role *r);
/* After it: frames are for handlers, which ask showq_may first. */
struct ipc_handlers;
void showq_serve(
	struct showq *s, const struct ipc_handlers *handlers, void *role_ctx);
/* May who is at the other end of sock ask that?  False with FAULT_PERM, or with
 * that of a table that cannot be asked. */
bool showq_may(const struct showq *s, int sock, const struct ipc_frame *frame,
	struct fault *f);

#endif
