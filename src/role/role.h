/* SPDX-License-Identifier: ISC */
#ifndef ROLE_ROLE_H
#define ROLE_ROLE_H

/*
 * role: what every role process has in common: its configuration, the
 * sockets that master handed down, its log, sandbox, crew, and an end.
 *
 * A role is started by master as
 *   postern -c DIR role NAME INDEX --control FD --board FD --slot N
 *           [--ipc FD] [--listen SERVICE=FD] ...
 */

#include "conf/service.h"
#include "ipc/messages.h"
#include "net/crew.h"
#include "net/resolver.h"
#include "policy/policy.h"
#include "sys/log.h"

enum { ROLE_LISTENERS_MAX = 64, ROLE_PATHS_MAX = 128, BOARD_SLOTS = 64 };

/* One line of `postern status`, in memory that master shares. */
struct board_slot {
	char name[16];
	uint32_t index;
	int32_t pid;
	int64_t started; /* Unix seconds */
	uint32_t restarts;
	uint32_t sessions; /* now; written by the role */
	uint64_t served; /* sessions or jobs since the start */
};

struct anvil; /* role/anvil.h */

struct role_listener {
	struct service *service;
	int fd;
};

struct agent;

struct role {
	const char *name;
	unsigned index;
	struct arena *a;
	struct conf *conf;
	struct services *services;
	struct tables *tables;
	struct resolver *resolver;
	struct crew *crew; /* NULL: none */
	struct agent *agent; /* NULL: takes no jobs */
	struct board_slot *slot;
	struct anvil *anvil; /* smtpd only */
	int control; /* pipe to master: says ready, ends with it */
	int ipc_fd; /* listening; -1: none */
	struct role_listener listeners[ROLE_LISTENERS_MAX];
	unsigned n_listeners;
	struct ipc_client *auth, *queue, *mailbox, *report, *master;
	struct accounts_directory *accounts; /* role/accounts.h */
	const char *read_paths[ROLE_PATHS_MAX];
	size_t n_read;
	const char *write_paths[ROLE_PATHS_MAX];
	size_t n_write;
	bool tables_need_network;
};

/* Reads the arguments and the configuration; exits with a message when that
 * fails: master has checked it before. */
void role_begin(struct role *r, int argc, char **argv);

void role_may_read(struct role *r, struct str path);
void role_may_write(struct role *r, struct str path);
/* The tables of a parameter, with the directories they lie in. */
void role_may_read_tables(struct role *r, struct str list);
/* The directories of a list of files, which are replaced when renewed. */
void role_may_read_dir(struct role *r, struct str files);
/* Of tls_server_sni_maps; the files it names may be read.  NULL without. */
struct maps *role_sni_maps(struct role *r, const struct conf *c);
/* Enters the sandbox; inet: may talk to the Internet.  Exits when it fails. */
void role_sandbox(struct role *r, bool inet);
void role_resolver(struct role *r);

/* Tells master, then waits for SIGTERM (or master's end), lets jobs in hand
 * come to their end (master waits as long as it has time), ends the crew. */
int role_run(struct role *r, unsigned session_count_ms);
/* The same in two, for who has something to do in between. */
int role_wait(struct role *r, unsigned session_count_ms);
void role_end(struct role *r);

/* $queue_directory/run/NAME.sock */
struct str role_socket_path(
	const struct conf *c, const char *name, struct arena *a);
/* What any user may ask queue by: role/queue/showq.h */
struct str role_showq_path(const struct conf *c, struct arena *a);

NORETURN void role_die(const struct role *r, const struct fault *f);

/* The roles. */
int role_smtpd(struct role *r);
int role_queue(struct role *r);
int role_sender(struct role *r);
int role_mailbox(struct role *r);
int role_auth(struct role *r);
int role_report(struct role *r);

#endif
