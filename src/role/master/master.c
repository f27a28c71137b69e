/* SPDX-License-Identifier: ISC */
/*
 * One loop over: signals, the control ends of the roles, and the socket of
 * master.  A role that ends is started again; the sockets stay with master,
 * so that nobody who connects meanwhile is refused.
 */
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/must.h"
#include "role/anvil.h"
#include "role/master/master_private.h"
#include "sys/clock.h"
#include "sys/file.h"

enum { STOP_FIRST_MS = 5000, STOP_REST_MS = 4500 };

/* ---- the configuration ---- */

static int text_fd(struct str text)
{
	struct fault f;

	if (!str_present(text))
		return -1;
	int fd = file_memory(text, &f);
	must(fd >= 0);
	return fd;
}

/* A role that starts again gets what was accepted, not what is being edited;
 * the old confs live on: they are small. */
static void accept_conf(
	struct master *m, struct conf *conf, struct services *services)
{
	if (m->conf != NULL) {
		close(m->main_cf);
		close(m->master_cf);
	}
	m->conf = conf;
	m->services = services;
	m->main_cf = text_fd(conf->main_text);
	m->master_cf = text_fd(conf->master_text);
}

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
/* Memory that roles share with us by its descriptor; NULL and f. */
static void *share(const char *name, size_t bytes, int *fd_r, struct fault *f)
{
	*fd_r = memfd_create(name, MFD_CLOEXEC);
	void *memory = MAP_FAILED;

	if (*fd_r >= 0 && ftruncate(*fd_r, (off_t)bytes) == 0)
		memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
			*fd_r, 0);
	if (memory != MAP_FAILED)
		return memory;
	fault_sys(f, "%s", name);
	return NULL;
}

/* The same in a file, for what is still worth something after a restart. */
static void *share_file(const struct master *m, const char *name, size_t bytes,
	int *fd_r, struct fault *f)
{
	char path[4096];
	void *memory = MAP_FAILED;
	struct stat st;

	snprintf(path, sizeof(path), "%.*s/%s",
		STR_ARG(m->conf->data_directory), name);
	*fd_r = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	/* All blocks now: a full disk must not be met in the middle. */
	if (*fd_r >= 0 && fstat(*fd_r, &st) == 0 && S_ISREG(st.st_mode) &&
		st.st_nlink == 1 && ftruncate(*fd_r, (off_t)bytes) == 0 &&
		posix_fallocate(*fd_r, 0, (off_t)bytes) == 0 &&
		(m->uid < 0 ||
			fchown(*fd_r, (uid_t)m->uid, (gid_t)m->gid) == 0))
		memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
			*fd_r, 0);
	if (memory != MAP_FAILED)
		return memory;
	fault_sys(f, "%s", path);
	return NULL;
}

static bool set_up(struct master *m, struct fault *f)
{
	static const enum role_id servers[] = {
		R_AUTH, R_QUEUE, R_MAILBOX, R_REPORT};
	struct rlimit files;

	/* Every parked session is a descriptor. */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	if (!master_make_dirs(m->conf, m->uid, m->gid, f) || !take_lock(m, f) ||
		!master_listen(m, m->services, f))
		return false;
	for (size_t i = 0; i < ROLES; i++)
		m->ipc[i] = -1;
	for (size_t i = 0; i < ARRAY_LEN(servers); i++) {
		m->ipc[servers[i]] = master_unix_listener(
			m, master_role_name(servers[i]), f);
		if (m->ipc[servers[i]] < 0)
			return false;
	}
	master_spawn_listen(m);
	m->socket = master_unix_listener(m, "master", f);
	if (m->socket < 0)
		return false;
	m->board = share("postern-board",
		BOARD_SLOTS * sizeof(struct board_slot), &m->board_fd, f);
	void *anvil = share_file(m, "anvil", anvil_bytes(), &m->anvil_fd, f);
	if (m->board == NULL || anvil == NULL)
		return false;
	anvil_init(anvil);
	return true;
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
	master_local(m->conf, m->services, sock, buf_str(&frame->payload),
		frame->fd);
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
	log_info("ready", log_n("listeners", (int64_t)m->listeners.n));
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
/* First those who talk to the world, then those they need. */
static void stop_all(struct master *m)
{
	static const enum role_id first[] = {R_SMTPD, R_SENDER};
	static const enum role_id then[] = {R_MAILBOX};
	static const enum role_id rest[] = {R_REPORT, R_QUEUE, R_AUTH};

	m->stopping = true;
	log_info("stopping");
	for (size_t i = 0; i < ARRAY_LEN(first); i++)
		master_signal_role(m, first[i], SIGTERM);
	master_wait_gone(m, first, ARRAY_LEN(first), STOP_FIRST_MS);
	/* Who has a slow delivery in hand; queue does not wait for it. */
	master_signal_role(m, R_SENDER, SIGKILL);
	for (size_t i = 0; i < ARRAY_LEN(then); i++)
		master_signal_role(m, then[i], SIGTERM);
	master_wait_gone(m, then, ARRAY_LEN(then), STOP_REST_MS);
	for (size_t i = 0; i < ARRAY_LEN(rest); i++)
		master_signal_role(m, rest[i], SIGTERM);
	master_wait_gone(m, rest, ARRAY_LEN(rest), STOP_REST_MS);
	master_spawn_end(m);
	for (size_t i = 0; i < ROLES; i++)
		master_signal_role(m, (enum role_id)i, SIGKILL);
	log_info("stopped");
}

/* A new configuration: the old one stays when the new one is wrong. */
static void reload(struct master *m)
{
	struct problems problems = {.a = arena_new(SIZE_MAX)};
	struct conf *fresh = conf_load(m->o->dir, &problems);
	struct services *services = services_load(fresh, &problems);
	struct fault f;

	if (problems_count(&problems, PROBLEM_ERROR) > 0) {
		log_error("reload refused: the configuration is wrong",
			log_s("file", problems.v[0].file),
			log_n("line", problems.v[0].line),
			log_s("reason", problems.v[0].what));
		return;
	}
	if (!master_listen(m, services, &f)) {
		log_error("reload refused", log_fault(&f));
		return;
	}
	accept_conf(m, fresh, services);
	open_log(m);
	master_spawn_listen(m);
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
	master_start_role(m, R_SMTPD);
	master_start_role(m, R_SENDER);
}

static bool take_signal(struct master *m)
{
	struct signalfd_siginfo info;

	if (read(m->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return true;
	switch (info.ssi_signo) {
	case SIGCHLD:
		master_reap(m);
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
		struct pollfd p[PROCS_MAX + 3] = {
			{.fd = m->signals, .events = POLLIN},
			{.fd = m->socket, .events = POLLIN}};
		int64_t wait = master_start_due(m);

		for (size_t i = 0; i < PROCS_MAX; i++)
			p[i + 2] = (struct pollfd){
				.fd = m->procs[i].used ? m->procs[i].control
						       : -1,
				.events = POLLIN};
		p[PROCS_MAX + 2] = (struct pollfd){
			.fd = master_spawn_fd(m), .events = POLLIN};
		if (poll(p, PROCS_MAX + 3, (int)wait) < 0)
			continue;
		for (size_t i = 0; i < PROCS_MAX; i++)
			if (p[i + 2].revents != 0)
				take_control(m, &m->procs[i]);
		if (p[1].revents != 0)
			answer(m);
		if (p[PROCS_MAX + 2].revents != 0)
			master_spawn_serve(m);
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
	struct conf *conf = conf_load(o->dir, &problems);
	accept_conf(m, conf, services_load(conf, &problems));
	umask(077);
	open_log(m);
	find_owner(m);
	block_signals(m);
	if (!set_up(m, &f)) {
		fprintf(stderr, "postern: cannot start: %s\n", f.text);
		return EX_OSERR;
	}
	for (size_t i = 0; i < ROLES; i++)
		master_start_role(m, (enum role_id)i);
	loop(m);
	stop_all(m);
	return EX_OK;
}
