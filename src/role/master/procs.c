/* SPDX-License-Identifier: ISC */
/* The processes of the roles: started, watched, started again. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/must.h"
#include "role/master/master_private.h"
#include "sys/clock.h"

enum { QUICK_MS = 1000 };

static const char *const role_names[ROLES] = {
	"auth", "queue", "mailbox", "report", "smtpd", "sender"};

const char *master_role_name(enum role_id role)
{
	return role_names[role];
}

struct args {
	char *v[LISTENERS_MAX * 2 + 30];
	size_t n;
	struct arena *a;
};

static void arg(struct args *x, struct str s)
{
	must(x->n + 1 < ARRAY_LEN(x->v));
	char *copy = arena_alloc(x->a, s.len + 1);
	memcpy(copy, s.ptr, s.len);
	x->v[x->n++] = copy;
}

static void inherit(int fd)
{
	fcntl(fd, F_SETFD, 0);
}

static void arg_fd(struct args *x, const char *name, int fd)
{
	arg(x, str_from(name));
	arg(x, arena_printf(x->a, "%d", fd));
	inherit(fd);
}

static bool serves(enum role_id role, enum service_kind kind)
{
	return kind == SERVICE_SMTPD ? role == R_SMTPD : role == R_MAILBOX;
}

NORETURN static void exec_role(
	struct master *m, const struct proc *p, int control, size_t slot)
{
	struct args x = {.a = m->a};
	sigset_t none;

	arg(&x, STR("postern"));
	arg(&x, STR("role"));
	arg(&x, str_from(m->o->dir));
	arg(&x, str_from(role_names[p->role]));
	arg(&x, arena_printf(m->a, "%u", p->index));
	arg_fd(&x, "--control", control);
	arg_fd(&x, "--board", m->board_fd);
	if (p->role == R_SMTPD)
		arg_fd(&x, "--anvil", m->anvil_fd);
	if (m->main_cf >= 0)
		arg_fd(&x, "--main-cf", m->main_cf);
	if (m->master_cf >= 0)
		arg_fd(&x, "--master-cf", m->master_cf);
	arg(&x, STR("--slot"));
	arg(&x, arena_printf(m->a, "%zu", slot));
	if (m->ipc[p->role] >= 0)
		arg_fd(&x, "--ipc", m->ipc[p->role]);
	for (size_t i = 0; i < m->listeners.n; i++) {
		const struct listener *l = &m->listeners.v[i];

		if (!serves(p->role, m->services->v[l->service].kind))
			continue;
		arg(&x, STR("--listen"));
		arg(&x, arena_printf(m->a, "%zu=%d", l->service, l->fd));
		inherit(l->fd);
	}
	sigemptyset(&none);
	sigaddset(&none, SIGTERM);
	sigaddset(&none, SIGINT);
	/* The role reads these through a signalfd: they stay blocked. */
	sigprocmask(SIG_SETMASK, &none, NULL);
	setpgid(0, 0);
	if (m->uid >= 0 && (initgroups(arena_cstr(m->a, m->conf->mail_owner),
				    (gid_t)m->gid) != 0 ||
				   setgid((gid_t)m->gid) != 0 ||
				   setuid((uid_t)m->uid) != 0))
		_exit(EX_NOPERM);
	/* Nobody lives on without master: it holds the sockets. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	execv("/proc/self/exe", x.v);
	_exit(EX_OSERR);
}

static void start_proc(struct master *m, struct proc *p)
{
	size_t slot = (size_t)(p - m->procs);
	struct board_slot *b = &m->board[slot];
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
		p->start_at_ms = clock_mono_ms() + 1000;
		return;
	}
	pid_t pid = fork();
	if (pid == 0) {
		close(pair[0]);
		exec_role(m, p, pair[1], slot);
	}
	close(pair[1]);
	p->control = pair[0];
	p->pid = pid;
	p->ready = false;
	p->started_ms = clock_mono_ms();
	snprintf(b->name, sizeof(b->name), "%s", role_names[p->role]);
	b->index = p->index;
	b->pid = pid;
	b->started = clock_unix();
	b->sessions = 0;
	b->served = 0;
	if (pid < 0) {
		p->pid = 0;
		p->start_at_ms = clock_mono_ms() + 1000;
	}
}

static struct proc *new_proc(
	struct master *m, enum role_id role, unsigned index)
{
	for (size_t i = 0; i < PROCS_MAX; i++) {
		struct proc *p = &m->procs[i];

		if (p->used)
			continue;
		*p = (struct proc){.used = true,
			.role = role,
			.index = index,
			.control = -1};
		memset(&m->board[i], 0, sizeof(m->board[i]));
		return p;
	}
	return NULL;
}

static unsigned wanted(const struct master *m, enum role_id role)
{
	int64_t n = role == R_SMTPD    ? m->conf->smtpd_processes
		    : role == R_SENDER ? m->conf->sender_processes
				       : 1;

	return n < 1 ? 1 : n > 16 ? 16 : (unsigned)n;
}

void master_start_role(struct master *m, enum role_id role)
{
	for (unsigned i = 0; i < wanted(m, role); i++) {
		struct proc *p = new_proc(m, role, i);

		if (p != NULL)
			start_proc(m, p);
	}
}

static void proc_ended(struct master *m, struct proc *p, int status)
{
	int64_t now = clock_mono_ms();
	bool quick = now - p->started_ms < QUICK_MS;

	if (p->control >= 0)
		close(p->control);
	p->control = -1;
	p->pid = 0;
	m->board[p - m->procs].pid = 0;
	m->board[p - m->procs].sessions = 0;
	if (m->stopping || p->draining) {
		p->used = !p->draining;
		return;
	}
	bool crashed = !WIFEXITED(status) || WEXITSTATUS(status) != 0;
	if (crashed)
		log_error("role ended", log_z("role", role_names[p->role]),
			log_n("signal",
				WIFSIGNALED(status) ? WTERMSIG(status) : 0),
			log_n("status",
				WIFEXITED(status) ? WEXITSTATUS(status) : 0));
	/* At once, but slower each time when it does not live. */
	p->quick = quick && crashed ? p->quick + 1 : 0;
	p->start_at_ms =
		now + (p->quick < 2           ? 0
			      : p->quick > 20 ? 5000
					      : (int64_t)p->quick * 250);
	m->board[p - m->procs].restarts++;
}

void master_reap(struct master *m)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (size_t i = 0; i < PROCS_MAX; i++)
			if (m->procs[i].used && m->procs[i].pid == pid)
				proc_ended(m, &m->procs[i], status);
		master_spawn_ended(m, pid, status);
	}
}

int64_t master_start_due(struct master *m)
{
	int64_t now = clock_mono_ms();
	int64_t wait = -1;

	for (size_t i = 0; i < PROCS_MAX && !m->stopping; i++) {
		struct proc *p = &m->procs[i];

		if (!p->used || p->pid != 0)
			continue;
		if (p->start_at_ms <= now)
			start_proc(m, p);
		else if (wait < 0 || p->start_at_ms - now < wait)
			wait = p->start_at_ms - now;
	}
	return wait;
}
void master_signal_role(struct master *m, enum role_id role, int sig)
{
	for (size_t i = 0; i < PROCS_MAX; i++)
		if (m->procs[i].used && m->procs[i].role == role &&
			m->procs[i].pid > 0)
			kill(m->procs[i].pid, sig);
}

static bool any_alive(const struct master *m, enum role_id role)
{
	for (size_t i = 0; i < PROCS_MAX; i++)
		if (m->procs[i].used && m->procs[i].role == role &&
			m->procs[i].pid > 0)
			return true;
	return false;
}

void master_wait_gone(
	struct master *m, const enum role_id *roles, size_t n, int64_t ms)
{
	int64_t deadline = clock_mono_ms() + ms;

	for (;;) {
		bool alive = false;
		struct timespec tick = {.tv_nsec = 10 * 1000000};

		master_reap(m);
		for (size_t i = 0; i < n; i++)
			alive |= any_alive(m, roles[i]);
		if (!alive || clock_mono_ms() > deadline)
			return;
		nanosleep(&tick, NULL);
	}
}
