/* SPDX-License-Identifier: ISC */
/* start, stop, reload, status */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "cmd/cmd.h"
#include "ipc/messages.h"
#include "role/master/master.h"
#include "role/role.h"

enum { STOP_SECONDS = 15 };

int cmd_start(struct cmd *c)
{
	static const struct option_def defs[] = {{"--foreground", false}};
	struct master_options o = {.dir = c->dir};
	const char *value;
	int at = 1, i;

	while ((i = cmd_option(c, &at, defs, ARRAY_LEN(defs), &value)) != -2) {
		if (i == -3)
			return EX_USAGE;
		if (i == -1)
			return cmd_usage(c, "unexpected \"%s\"", value);
		o.foreground = true;
	}
	/* Roles are told by full path: they may run from elsewhere. */
	o.dir = realpath(c->dir, NULL);
	if (o.dir == NULL)
		o.dir = c->dir;
	int rc = check_run(o.dir, PROBLEM_WARNING);
	if (rc != EX_OK) {
		fprintf(stderr, "postern: not started\n");
		return rc;
	}
	if (!o.foreground && daemon(1, 0) != 0) {
		perror("postern: daemon");
		return EX_OSERR;
	}
	return master_run(&o);
}

static struct conf *load(struct cmd *c)
{
	struct problems problems = {.a = arena_new(SIZE_MAX)};

	return conf_load(c->dir, &problems);
}

static int running_pid(struct cmd *c)
{
	int pid = master_running_pid(load(c));

	if (pid == 0)
		fprintf(stderr, "postern is not running\n");
	return pid;
}

int cmd_stop(struct cmd *c)
{
	int pid = running_pid(c);

	if (pid == 0)
		return EX_UNAVAILABLE;
	if (kill(pid, SIGTERM) != 0) {
		perror("postern: stop");
		return EX_NOPERM;
	}
	for (int i = 0; i < STOP_SECONDS * 20; i++) {
		struct timespec tick = {.tv_nsec = 50 * 1000000};

		if (master_running_pid(load(c)) != pid)
			return EX_OK;
		nanosleep(&tick, NULL);
	}
	fprintf(stderr, "postern: still running after %d s\n", STOP_SECONDS);
	return EX_TEMPFAIL;
}

int cmd_reload(struct cmd *c)
{
	int rc = check_run(c->dir, PROBLEM_WARNING);

	if (rc != EX_OK) {
		fprintf(stderr, "postern: not reloaded\n");
		return rc;
	}
	int pid = running_pid(c);
	if (pid == 0)
		return EX_UNAVAILABLE;
	if (kill(pid, SIGHUP) != 0) {
		perror("postern: reload");
		return EX_NOPERM;
	}
	return EX_OK;
}

static void print_status(const json_t *j)
{
	const json_t *role;
	size_t i;

	printf("postern %s, pid %lld, up %lld s\n",
		json_string_value(json_object_get(j, "version")),
		(long long)json_integer_value(json_object_get(j, "pid")),
		(long long)json_integer_value(json_object_get(j, "uptime")));
	printf("%-10s %8s %9s %9s %9s %9s\n", "role", "pid", "uptime",
		"sessions", "served", "restarts");
	json_array_foreach(json_object_get(j, "roles"), i, role) printf(
		"%-10s %8lld %8llds %9lld %9lld %9lld\n",
		json_string_value(json_object_get(role, "role")),
		(long long)json_integer_value(json_object_get(role, "pid")),
		(long long)json_integer_value(json_object_get(role, "uptime")),
		(long long)json_integer_value(
			json_object_get(role, "sessions")),
		(long long)json_integer_value(json_object_get(role, "served")),
		(long long)json_integer_value(
			json_object_get(role, "restarts")));
}

int cmd_status(struct cmd *c)
{
	bool as_json = c->argc > 1 && strcmp(c->argv[1], "--json") == 0;
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct ipc_frame reply CLEANUP(ipc_frame_fini);
	struct fault f;

	ipc_frame_init(&reply);
	if (c->argc > 1 && !as_json)
		return cmd_usage(c, "unexpected \"%s\"", c->argv[1]);
	struct ipc_client *master = ipc_client_new(
		role_socket_path(load(c), "master", a).ptr, false);
	if (!ipc_call(master, IPC_STATUS, STR_NONE, -1, 5000, &reply, &f)) {
		fprintf(stderr, "postern is not running (%s)\n", f.text);
		return EX_UNAVAILABLE;
	}
	struct wire w = {.rest = buf_str(&reply.payload)};
	struct str text = wire_str(&w);
	if (as_json) {
		printf("%.*s\n", STR_ARG(text));
		return EX_OK;
	}
	json_t *j = json_loadb(text.ptr, text.len, 0, NULL);
	if (j == NULL)
		return EX_PROTOCOL;
	print_status(j);
	json_decref(j);
	return EX_OK;
}
