/* SPDX-License-Identifier: ISC */
#ifndef ROLE_MASTER_MASTER_PRIVATE_H
#define ROLE_MASTER_MASTER_PRIVATE_H

/*
 * What the files of master share: its processes (procs.c) and its sockets
 * (listen.c).  One thread; everything lives as long as master.
 */

#include "role/master/master.h"
#include "role/role.h"

enum { PROCS_MAX = BOARD_SLOTS, LISTENERS_MAX = 64 };

enum role_id { R_AUTH, R_QUEUE, R_MAILBOX, R_REPORT, R_SMTPD, R_SENDER, ROLES };

struct proc {
	enum role_id role;
	unsigned index;
	pid_t pid; /* 0: not running */
	int control; /* -1: none */
	bool ready;
	bool draining; /* replaced: not started again */
	int64_t started_ms;
	int64_t start_at_ms; /* when it may be started again */
	unsigned quick; /* ends in a row soon after the start */
	bool used;
};

struct listener {
	struct sock_addr addr;
	int fd;
	size_t service; /* index into services */
};

struct listeners {
	struct listener v[LISTENERS_MAX];
	size_t n;
};

struct master {
	const struct master_options *o;
	struct conf *conf;
	int main_cf, master_cf; /* its texts, for the roles; -1: none */
	struct services *services;
	struct arena *a;
	int64_t uid, gid; /* of the roles; -1: as we are */
	struct proc procs[PROCS_MAX];
	struct board_slot *board;
	int board_fd;
	int anvil_fd; /* for smtpd: role/anvil.h */
	struct listeners listeners;
	struct spawners *spawners; /* spawn.c */
	int ipc[ROLES]; /* -1: none */
	int socket;
	int signals;
	int pid_fd;
	int64_t started;
	bool told_ready;
	bool stopping;
	bool to_syslog;
};

/* ---- listen.c ---- */

/* Makes m listen where services say: sockets of addresses that stay are kept,
 * so that no connection is lost; the others are closed.  On failure f says
 * which address, and everything is as before. */
bool master_listen(
	struct master *m, const struct services *services, struct fault *f);

/* The IPC socket of a role, for the roles' account only; -1 and f. */
int master_unix_listener(struct master *m, const char *name, struct fault *f);

/* ---- procs.c ---- */

const char *master_role_name(enum role_id role);

/* All processes that the configuration wants of a role. */
void master_start_role(struct master *m, enum role_id role);

/* Starts again what ended and is due; returns milliseconds to the next that
 * is not, -1 when there is none. */
int64_t master_start_due(struct master *m);

/* Takes in the ends of children. */
void master_reap(struct master *m);

void master_signal_role(struct master *m, enum role_id role, int sig);

/* Waits for the ends of all processes of these roles, ms at the most. */
void master_wait_gone(
	struct master *m, const enum role_id *roles, size_t n, int64_t ms);

/* ---- spawn.c: programs for connections ---- */

/* As the services say now; children of before go on.  What cannot be listened
 * on is logged: mail goes on without it. */
void master_spawn_listen(struct master *m);
/* Readable when somebody connected: then serve. */
int master_spawn_fd(const struct master *m);
void master_spawn_serve(struct master *m);
/* A child of master ended; it may be one of them. */
void master_spawn_ended(struct master *m, pid_t pid, int status);
void master_spawn_end(struct master *m);

#endif
