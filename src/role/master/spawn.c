/* SPDX-License-Identifier: ISC */
/*
 * spawn(8): a program for each connection to a socket that a spawn line of
 * master.cf names; the usual way to run a policy service.  The program has the
 * connection as input and output, the rights of its account, an end in time
 * (NAME_time_limit), and nothing else of ours.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/must.h"
#include "role/master/local.h"
#include "role/master/master_private.h"
#include "sys/file.h"

enum { BACKLOG = 512, EVENTS = 16 };

static const char command_path[] = "/usr/local/bin:/usr/bin:/bin";

struct spawner {
	const struct spawn *spec;
	int *fds; /* one for each address */
	unsigned running;
	bool waiting; /* as many as may: nobody is let in */
};

struct child {
	pid_t pid;
	struct spawner *of; /* NULL: of an earlier configuration */
};

struct spawners {
	int epoll;
	struct spawner *v;
	size_t n;
	struct child *children;
	size_t n_children, cap_children;
};

/* ---- sockets ---- */

static int open_socket(struct master *m, const struct spawn *spec,
	const struct sock_addr *addr, struct fault *f)
{
	const char *path = sock_addr_path(addr);

	if (path == NULL)
		return sock_listen(addr, BACKLOG, f);
	int fd = sock_unix_listen(path, spec->public ? 0666 : 0600, f);
	if (fd >= 0 && m->uid >= 0 &&
		chown(path, (uid_t)m->uid, (gid_t)m->gid) != 0)
		log_warn("chown failed", log_z("path", path));
	return fd;
}

static void watch(const struct spawners *s, const struct spawner *x, bool on)
{
	struct epoll_event e = {
		.events = on ? EPOLLIN : 0, .data.u64 = (uint64_t)(x - s->v)};

	for (size_t i = 0; i < x->spec->n_addrs; i++)
		if (x->fds[i] >= 0)
			must(epoll_ctl(s->epoll, EPOLL_CTL_MOD, x->fds[i],
				     &e) == 0);
}

static void close_all(struct spawners *s)
{
	for (size_t i = 0; i < s->n; i++) {
		for (size_t j = 0; j < s->v[i].spec->n_addrs; j++)
			fd_close(&s->v[i].fds[j]);
		free(s->v[i].fds);
	}
	free(s->v);
	s->v = NULL;
	s->n = 0;
	for (size_t i = 0; i < s->n_children; i++)
		s->children[i].of = NULL;
}

static void open_all(struct master *m, struct spawners *s, struct spawner *x)
{
	struct epoll_event e = {
		.events = EPOLLIN, .data.u64 = (uint64_t)(x - s->v)};
	struct fault f;

	x->fds = must_alloc((x->spec->n_addrs + 1) * sizeof(*x->fds));
	for (size_t i = 0; i < x->spec->n_addrs; i++) {
		x->fds[i] = open_socket(m, x->spec, &x->spec->addrs[i], &f);
		if (x->fds[i] < 0)
			log_error("spawn", log_s("service", x->spec->name),
				log_fault(&f));
		else
			must(epoll_ctl(s->epoll, EPOLL_CTL_ADD, x->fds[i],
				     &e) == 0);
	}
}

void master_spawn_listen(struct master *m)
{
	struct spawners *s = m->spawners;

	if (s == NULL) {
		s = m->spawners = must_alloc(sizeof(*s));
		s->epoll = epoll_create1(EPOLL_CLOEXEC);
		must(s->epoll >= 0);
	}
	close_all(s);
	s->n = m->services->n_spawns;
	s->v = must_alloc((s->n + 1) * sizeof(*s->v));
	for (size_t i = 0; i < s->n; i++) {
		s->v[i].spec = &m->services->spawns[i];
		open_all(m, s, &s->v[i]);
	}
}

int master_spawn_fd(const struct master *m)
{
	return m->spawners->epoll;
}

/* ---- the child ---- */

/* The words stand in memory that ends with us. */
static void run(const struct master *m, const struct spawn *spec, int sock)
{
	struct arena *a = arena_new(SIZE_MAX);
	const struct strs *words = &spec->args->argv;
	char **argv = arena_alloc(a, (words->n + 1) * sizeof(*argv));
	char *env[] = {str_heap(arena_printf(a, "PATH=%s", command_path)),
		str_heap(arena_printf(
			a, "MAIL_CONFIG=%.*s", STR_ARG(m->conf->dir))),
		NULL};
	const char *dir = arena_cstr(a, str_present(spec->args->directory)
						? spec->args->directory
						: m->conf->queue_directory);
	struct local l = {.conf = m->conf, .a = a};
	struct fault f;

	for (size_t i = 0; i < words->n; i++)
		argv[i] = str_heap(words->v[i]);
	argv[words->n] = NULL;
	if (!local_take_rights(&l, spec->args, &f)) {
		log_error("spawn", log_s("service", spec->name), log_fault(&f));
		_exit(1);
	}
	for (int fd = 0; fd < 3; fd++)
		if (dup2(sock, fd) < 0)
			_exit(1);
	closefrom(3);
	setsid();
	if (chdir(dir) != 0 && chdir("/") != 0)
		_exit(1);
	signal(SIGPIPE, SIG_DFL);
	setenv("PATH", command_path, 1);
	alarm((unsigned)spec->time_limit);
	execvpe(argv[0], argv, env); /* by the PATH that we have */
	_exit(127); /* master says so */
}

static void start(struct master *m, struct spawner *x, int sock)
{
	struct spawners *s = m->spawners;
	pid_t pid = fork();

	if (pid == 0) {
		sigset_t none;

		close(m->signals);
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		run(m, x->spec, sock);
	}
	if (pid < 0) {
		log_error(
			"spawn: fork failed", log_s("service", x->spec->name));
		return;
	}
	if (s->n_children == s->cap_children) {
		s->cap_children =
			s->cap_children > 0 ? s->cap_children * 2 : 16;
		s->children = must_realloc(
			s->children, s->cap_children * sizeof(*s->children));
	}
	s->children[s->n_children++] = (struct child){pid, x};
	x->running++;
	x->waiting = x->spec->most > 0 && x->running >= x->spec->most;
	if (x->waiting)
		watch(s, x, false);
}

/* ---- in the loop ---- */

void master_spawn_serve(struct master *m)
{
	struct spawners *s = m->spawners;
	struct epoll_event events[EVENTS];
	int n = epoll_wait(s->epoll, events, EVENTS, 0);

	for (int i = 0; i < n; i++) {
		struct spawner *x = &s->v[events[i].data.u64];

		for (size_t j = 0; j < x->spec->n_addrs && !x->waiting; j++) {
			/* One at a time: the others come with the next look. */
			int sock CLEANUP(fd_close) =
				x->fds[j] < 0 ? -1
					      : accept4(x->fds[j], NULL, NULL,
							SOCK_CLOEXEC);

			if (sock >= 0)
				start(m, x, sock);
		}
	}
}

void master_spawn_ended(struct master *m, pid_t pid, int status)
{
	struct spawners *s = m->spawners;

	for (size_t i = 0; s != NULL && i < s->n_children; i++) {
		struct spawner *x = s->children[i].of;

		if (s->children[i].pid != pid)
			continue;
		s->children[i] = s->children[--s->n_children];
		if (x == NULL)
			return;
		if (status != 0)
			log_warn("spawn: the program ended",
				log_s("service", x->spec->name),
				log_s("program", x->spec->args->argv.v[0]),
				log_n(WIFSIGNALED(status) ? "signal" : "status",
					WIFSIGNALED(status)
						? WTERMSIG(status)
						: WEXITSTATUS(status)));
		x->running--;
		if (x->waiting)
			watch(s, x, true);
		x->waiting = false;
		return;
	}
}

void master_spawn_end(struct master *m)
{
	for (size_t i = 0; i < m->spawners->n_children; i++)
		kill(m->spawners->children[i].pid, SIGTERM);
}
