/* SPDX-License-Identifier: ISC */
/*
 * One loop over: signals, the control ends of the roles, and the socket of
 * master.  A role that ends is started again; the sockets stay with master,
 * so that nobody who connects meanwhile is refused.
 */
#include "role/master/master.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <jansson.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/must.h"
#include "role/role.h"
#include "sys/clock.h"
#include "sys/file.h"

enum {
	PROCS_MAX = BOARD_SLOTS,
	LISTENERS_MAX = 64,
	BACKLOG = 1024,
	STOP_FIRST_MS = 5000,
	STOP_REST_MS = 4500,
	QUICK_MS = 1000
};

enum role_id { R_AUTH, R_QUEUE, R_MAILBOX, R_SMTPD, R_SENDER, ROLES };
static const char *const role_names[ROLES] = {
	"auth", "queue", "mailbox", "smtpd", "sender"};

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
	size_t service;
	bool keep;
};

struct master {
	const struct master_options *o;
	struct conf *conf;
	struct services *services;
	struct arena *a;
	int64_t uid, gid; /* of the roles; -1: as we are */
	struct proc procs[PROCS_MAX];
	struct board_slot *board;
	int board_fd;
	struct listener listeners[LISTENERS_MAX];
	size_t n_listeners;
	int ipc[ROLES]; /* -1: none */
	int socket;
	int signals;
	int pid_fd;
	int64_t started;
	bool told_ready;
	bool stopping;
	bool to_syslog;
};

/* ---- setting up ---- */

static void find_owner(struct master *m)
{
	struct passwd *pw;

	m->uid = m->gid = -1;
	if (geteuid() != 0)
		return;
	pw = getpwnam(arena_cstr(m->a, m->conf->mail_owner));
	if (pw == NULL || pw->pw_uid == 0) {
		log_warn("no account to run as: the roles keep uid 0 without "
			 "any power",
			log_s("mail_owner", m->conf->mail_owner));
		return;
	}
	m->uid = pw->pw_uid;
	m->gid = pw->pw_gid;
}

static bool take_lock(struct master *m, struct fault *f)
{
	struct str path = arena_printf(
		m->a, "%.*s/run/master.pid", STR_ARG(m->conf->queue_directory));
	char text[32];

	m->pid_fd = open(path.ptr, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (m->pid_fd < 0)
		return fault_sys(f, "open %s", path.ptr);
	if (flock(m->pid_fd, LOCK_EX | LOCK_NB) != 0)
		return fault_set(f, FAULT_PERM, 0, 3, 0,
			"postern is running already (pid in %s)", path.ptr);
	int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	if (ftruncate(m->pid_fd, 0) != 0 ||
		pwrite(m->pid_fd, text, (size_t)n, 0) != n)
		return fault_sys(f, "write %s", path.ptr);
	return true;
}

static void open_log(struct master *m)
{
	struct str file = m->conf->maillog_file;
	char ident[96];

	snprintf(ident, sizeof(ident), "%.*s/master",
		STR_ARG(m->conf->syslog_name));
	m->to_syslog = file.len == 0 && !m->o->foreground;
	if (m->to_syslog)
		setenv("POSTERN_LOG_SYSLOG", "1", 1);
	else
		unsetenv("POSTERN_LOG_SYSLOG");
	if (file.len > 0) {
		struct fault f;
		ptrdiff_t slash = str_rfind(file, '/');

		if (slash > 0)
			dir_make(arena_cstr(
					 m->a, str_sub(file, 0, (size_t)slash)),
				0755, &f);
		int fd = open(arena_cstr(m->a, file),
			O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
		if (fd >= 0) {
			dup2(fd, 2);
			close(fd);
		}
	}
	log_open(ident, str_eqc(m->conf->maillog_format, "json"),
		m->to_syslog ? arena_cstr(m->a, m->conf->syslog_facility)
			     : NULL);
}

static bool same_addr(const struct sock_addr *a, const struct sock_addr *b)
{
	return a->len == b->len && memcmp(&a->ss, &b->ss, a->len) == 0;
}

static bool bind_one(struct master *m, size_t service,
	const struct sock_addr *addr, struct fault *f)
{
	for (size_t i = 0; i < m->n_listeners; i++)
		if (same_addr(&m->listeners[i].addr, addr)) {
			m->listeners[i].service = service;
			m->listeners[i].keep = true;
			return true;
		}
	if (m->n_listeners == LISTENERS_MAX)
		return fault_set(f, FAULT_PERM, 0, 3, 5, "too many listeners");
	int fd = sock_listen(addr, BACKLOG, f);
	if (fd < 0) {
		struct str text = sock_addr_text(addr, m->a);
		char why[sizeof(f->text)];

		snprintf(why, sizeof(why), "%s", f->text);
		return fault_set(f, FAULT_PERM, 0, 3, 5, "%.*s:%u: %s",
			STR_ARG(text), sock_addr_port(addr), why);
	}
	m->listeners[m->n_listeners++] =
		(struct listener){*addr, fd, service, true};
	return true;
}

static bool bind_all(struct master *m, struct fault *f)
{
	size_t kept = 0;

	for (size_t i = 0; i < m->n_listeners; i++)
		m->listeners[i].keep = false;
	for (size_t i = 0; i < m->services->n; i++)
		for (size_t j = 0; j < m->services->v[i].n_addrs; j++)
			if (!bind_one(m, i, &m->services->v[i].addrs[j], f))
				return false;
	for (size_t i = 0; i < m->n_listeners; i++) {
		if (m->listeners[i].keep)
			m->listeners[kept++] = m->listeners[i];
		else
			close(m->listeners[i].fd);
	}
	m->n_listeners = kept;
	return true;
}

static int unix_listener(struct master *m, const char *name, struct fault *f)
{
	struct str path = role_socket_path(m->conf, name, m->a);
	int fd = sock_unix_listen(path.ptr, 0600, f);

	if (fd >= 0 && m->uid >= 0 &&
		chown(path.ptr, (uid_t)m->uid, (gid_t)m->gid) != 0)
		log_warn("chown failed", log_s("path", path));
	return fd;
}

static bool set_up(struct master *m, struct fault *f)
{
	static const enum role_id servers[] = {R_AUTH, R_QUEUE, R_MAILBOX};
	struct rlimit files;

	/* Every parked session is a descriptor. */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	if (!master_make_dirs(m->conf, m->uid, m->gid, f) || !take_lock(m, f) ||
		!bind_all(m, f))
		return false;
	for (size_t i = 0; i < ROLES; i++)
		m->ipc[i] = -1;
	for (size_t i = 0; i < ARRAY_LEN(servers); i++) {
		m->ipc[servers[i]] =
			unix_listener(m, role_names[servers[i]], f);
		if (m->ipc[servers[i]] < 0)
			return false;
	}
	m->socket = unix_listener(m, "master", f);
	m->board_fd = memfd_create("postern-board", MFD_CLOEXEC);
	size_t bytes = BOARD_SLOTS * sizeof(struct board_slot);
	if (m->socket < 0 || m->board_fd < 0 ||
		ftruncate(m->board_fd, (off_t)bytes) != 0)
		return m->socket < 0 ? false : fault_sys(f, "board");
	m->board = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
		m->board_fd, 0);
	return m->board != MAP_FAILED || fault_sys(f, "board");
}

/* ---- processes ---- */

struct args {
	char *v[LISTENERS_MAX * 2 + 24];
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
	arg(&x, STR("--slot"));
	arg(&x, arena_printf(m->a, "%zu", slot));
	if (m->ipc[p->role] >= 0)
		arg_fd(&x, "--ipc", m->ipc[p->role]);
	for (size_t i = 0; i < m->n_listeners; i++) {
		const struct listener *l = &m->listeners[i];

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

static void start_role(struct master *m, enum role_id role)
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

static void reap(struct master *m)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (size_t i = 0; i < PROCS_MAX; i++)
			if (m->procs[i].used && m->procs[i].pid == pid)
				proc_ended(m, &m->procs[i], status);
}

static int64_t start_due(struct master *m)
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

/* ---- asked by others ---- */

static char *status_json(struct master *m)
{
	json_t *roles = json_array();
	int64_t now = clock_unix();

	for (size_t i = 0; i < PROCS_MAX; i++) {
		const struct board_slot *b = &m->board[i];

		if (!m->procs[i].used)
			continue;
		json_array_append_new(roles,
			json_pack("{s:s,s:i,s:i,s:I,s:i,s:I,s:i,s:b}", "role",
				b->name, "index", (int)b->index, "pid",
				(int)b->pid, "uptime",
				(json_int_t)(b->pid != 0 ? now - b->started
							 : 0),
				"sessions", (int)b->sessions, "served",
				(json_int_t)b->served, "restarts",
				(int)b->restarts, "ready", m->procs[i].ready));
	}
	json_t *j = json_pack("{s:i,s:I,s:s,s:o}", "pid", (int)getpid(),
		"uptime", (json_int_t)(now - m->started), "version",
		POSTERN_VERSION, "roles", roles);
	char *text = json_dumps(j, JSON_COMPACT);
	json_decref(j);
	return text;
}

static void answer_status(struct master *m, int sock)
{
	struct buf b CLEANUP(buf_fini);
	char *text = status_json(m);
	struct fault f;

	buf_init(&b, 1 << 20);
	wire_put_str(&b, str_from(text));
	ipc_send(sock, IPC_OK, buf_str(&b), -1, &f);
	free(text);
}

static void deliver_in_child(
	struct master *m, int sock, struct ipc_frame *frame)
{
	if (fork() != 0)
		return; /* the child answers; a failed fork ends the talk */
	close(m->signals);
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	master_local(sock, buf_str(&frame->payload), frame->fd);
	_exit(0);
}

static void answer(struct master *m)
{
	struct ipc_frame frame CLEANUP(ipc_frame_fini);
	struct fault f;
	int sock CLEANUP(fd_close) =
		accept4(m->socket, NULL, NULL, SOCK_CLOEXEC);

	ipc_frame_init(&frame);
	if (sock < 0 || !ipc_recv(sock, 2000, &frame, &f))
		return;
	if (frame.type == IPC_STATUS)
		answer_status(m, sock);
	else if (frame.type == IPC_LOCAL && frame.fd >= 0)
		deliver_in_child(m, sock, &frame);
}

/* ---- life ---- */

static void say_ready(struct master *m)
{
	struct stat out, err;
	static const char text[] = "postern: ready\n";

	for (size_t i = 0; i < PROCS_MAX; i++)
		if (m->procs[i].used && !m->procs[i].ready)
			return;
	if (m->told_ready)
		return;
	m->told_ready = true;
	log_info("ready", log_n("listeners", (int64_t)m->n_listeners));
	if (!m->o->foreground)
		return;
	/* On both, for who watches only one of them; once when they are one. */
	bool one = fstat(1, &out) == 0 && fstat(2, &err) == 0 &&
		   out.st_dev == err.st_dev && out.st_ino == err.st_ino;
	if (write(1, text, sizeof(text) - 1) < 0 ||
		(!one && m->conf->maillog_file.len == 0 &&
			write(2, text, sizeof(text) - 1) < 0))
		log_warn("nobody hears that we are ready");
}

static void take_control(struct master *m, struct proc *p)
{
	char c;

	if (read(p->control, &c, 1) == 1) {
		p->ready = true;
		say_ready(m);
		return;
	}
	close(p->control);
	p->control = -1;
}

static void signal_role(struct master *m, enum role_id role, int sig)
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

static void wait_gone(
	struct master *m, const enum role_id *roles, size_t n, int64_t ms)
{
	int64_t deadline = clock_mono_ms() + ms;

	for (;;) {
		bool alive = false;
		struct timespec tick = {.tv_nsec = 10 * 1000000};

		reap(m);
		for (size_t i = 0; i < n; i++)
			alive |= any_alive(m, roles[i]);
		if (!alive || clock_mono_ms() > deadline)
			return;
		nanosleep(&tick, NULL);
	}
}

/* First those who talk to the world, then those they need. */
static void stop_all(struct master *m)
{
	static const enum role_id first[] = {R_SMTPD, R_SENDER};
	static const enum role_id rest[] = {R_MAILBOX, R_QUEUE, R_AUTH};

	m->stopping = true;
	log_info("stopping");
	for (size_t i = 0; i < ARRAY_LEN(first); i++)
		signal_role(m, first[i], SIGTERM);
	wait_gone(m, first, ARRAY_LEN(first), STOP_FIRST_MS);
	for (size_t i = 0; i < ARRAY_LEN(rest); i++)
		signal_role(m, rest[i], SIGTERM);
	wait_gone(m, rest, ARRAY_LEN(rest), STOP_REST_MS);
	for (size_t i = 0; i < ROLES; i++)
		signal_role(m, (enum role_id)i, SIGKILL);
	log_info("stopped");
}

/* A new configuration: the old one stays when the new one is wrong. */
static void reload(struct master *m)
{
	struct problems problems = {.a = arena_new(SIZE_MAX)};
	struct conf *fresh = conf_load(m->o->dir, NULL, 0, &problems);
	struct services *services = services_load(fresh, &problems);
	struct fault f;

	if (problems_count(&problems, PROBLEM_ERROR) > 0) {
		log_error("reload refused: the configuration is wrong",
			log_s("file", problems.v[0].file),
			log_n("line", problems.v[0].line),
			log_s("reason", problems.v[0].what));
		return;
	}
	m->conf = fresh; /* the old one lives on: it is small */
	m->services = services;
	open_log(m);
	if (!bind_all(m, &f))
		log_error("reload", log_fault(&f));
	log_info("reload");
	for (size_t i = 0; i < PROCS_MAX; i++) {
		struct proc *p = &m->procs[i];

		if (!p->used || p->pid == 0)
			continue;
		/* Who serves strangers is replaced while it drains; the sole
		 * owner of a file must end before the next one starts. */
		p->draining = p->role == R_SMTPD || p->role == R_SENDER;
		kill(p->pid, SIGTERM);
	}
	start_role(m, R_SMTPD);
	start_role(m, R_SENDER);
}

static bool take_signal(struct master *m)
{
	struct signalfd_siginfo info;

	if (read(m->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return true;
	switch (info.ssi_signo) {
	case SIGCHLD:
		reap(m);
		return true;
	case SIGHUP:
		reload(m);
		return true;
	default:
		return false;
	}
}

static void loop(struct master *m)
{
	for (;;) {
		struct pollfd p[PROCS_MAX + 2] = {
			{.fd = m->signals, .events = POLLIN},
			{.fd = m->socket, .events = POLLIN}};
		int64_t wait = start_due(m);

		for (size_t i = 0; i < PROCS_MAX; i++)
			p[i + 2] = (struct pollfd){
				.fd = m->procs[i].used ? m->procs[i].control
						       : -1,
				.events = POLLIN};
		if (poll(p, PROCS_MAX + 2, (int)wait) < 0)
			continue;
		for (size_t i = 0; i < PROCS_MAX; i++)
			if (p[i + 2].revents != 0)
				take_control(m, &m->procs[i]);
		if (p[1].revents != 0)
			answer(m);
		if (p[0].revents != 0 && !take_signal(m))
			return;
	}
}

static void block_signals(struct master *m)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	m->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	must(m->signals >= 0);
}

int master_run(const struct master_options *o)
{
	struct master *m = must_alloc(sizeof(*m));
	struct problems problems = {.a = arena_new(SIZE_MAX)};
	struct fault f;

	m->o = o;
	m->a = arena_new(SIZE_MAX);
	m->started = clock_unix();
	m->conf = conf_load(o->dir, NULL, 0, &problems);
	m->services = services_load(m->conf, &problems);
	umask(077);
	open_log(m);
	find_owner(m);
	block_signals(m);
	if (!set_up(m, &f)) {
		fprintf(stderr, "postern: cannot start: %s\n", f.text);
		return EX_OSERR;
	}
	for (size_t i = 0; i < ROLES; i++)
		start_role(m, (enum role_id)i);
	loop(m);
	stop_all(m);
	return EX_OK;
}
