/* SPDX-License-Identifier: ISC */
/*
 * |command: a program takes the message.  No shell stands between: the words
 * of the command are its arguments, whatever an address looks like.
 *
 * The program is the account's own and so has no sandbox of ours; it gets no
 * descriptor but its input and output, and no environment but this one.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "codec/postfix/aliases.h"
#include "codec/postfix/expand.h"
#include "codec/smtp/path.h"
#include "role/master/local.h"
#include "sys/clock.h"
#include "sys/file.h"

enum { ENV_MAX = 20, OUTPUT_MAX = 2000, REAP_MS = 5000 };

static const char command_path[] = "/usr/local/bin:/usr/bin:/bin";

/* ---- environment ---- */

struct env {
	char *v[ENV_MAX + 1];
	size_t n;
	const struct local *l;
};

static void env_put(struct env *e, const char *name, struct str value)
{
	if (!str_present(value) || e->n == ENV_MAX ||
		str_find(value, '\0') >= 0)
		return;
	struct str s = arena_printf(e->l->a, "%s=%.*s", name, STR_ARG(value));
	e->v[e->n] = arena_alloc(e->l->a, s.len + 1);
	memcpy(e->v[e->n++], s.ptr, s.len);
}

/* What comes from outside: postconf(5) command_expansion_filter. */
static void env_put_foreign(struct env *e, const char *name, struct str value)
{
	char *out = arena_alloc(e->l->a, value.len + 1);

	for (size_t i = 0; i < value.len; i++)
		out[i] = str_find(e->l->conf->command_expansion_filter,
				 value.ptr[i]) >= 0
				 ? value.ptr[i]
				 : '_';
	if (str_present(value))
		env_put(e, name, str_of(out, value.len));
}

static void fill_env(struct env *e, const struct local *l)
{
	struct str local, domain, rest = l->r.client;
	struct str host = str_cut(&rest, '[');

	*e = (struct env){.l = l};
	smtp_address_split(l->r.recipient, &local, &domain);
	env_put(e, "PATH", str_from(command_path));
	env_put(e, "HOME", str_from(l->pw->pw_dir));
	env_put(e, "USER", str_from(l->pw->pw_name));
	env_put(e, "LOGNAME", str_from(l->pw->pw_name));
	env_put(e, "SHELL",
		l->pw->pw_shell[0] != '\0' ? str_from(l->pw->pw_shell)
					   : STR("/bin/sh"));
	env_put(e, "MAIL_CONFIG", l->conf->dir);
	env_put_foreign(e, "SENDER", l->r.sender);
	env_put_foreign(e, "RECIPIENT", l->r.recipient);
	env_put_foreign(e, "ORIGINAL_RECIPIENT", l->r.original);
	env_put_foreign(e, "LOCAL", local);
	env_put_foreign(e, "DOMAIN", domain);
	env_put_foreign(e, "EXTENSION", l->r.extension);
	env_put_foreign(e, "SASL_USERNAME", l->r.login);
	env_put_foreign(e, "SASL_METHOD", l->r.sasl_method);
	env_put_foreign(e, "SASL_SENDER", l->r.sasl_sender);
	env_put_foreign(e, "CLIENT_HELO", l->r.helo);
	env_put_foreign(e, "CLIENT_PROTOCOL", l->r.protocol);
	env_put_foreign(e, "CLIENT_HOSTNAME", host);
	env_put_foreign(e, "CLIENT_ADDRESS", str_cut(&rest, ']'));
}

static struct str env_value(struct str name, void *ctx)
{
	const struct env *e = ctx;

	for (size_t i = 0; i < e->n; i++)
		if (strncmp(e->v[i], name.ptr, name.len) == 0 &&
			e->v[i][name.len] == '=')
			return str_from(e->v[i] + name.len + 1);
	return STR_NONE;
}

/* ---- the process ---- */

struct program {
	pid_t pid;
	int in; /* the message */
	const char *directory; /* NULL: the home */
	int out; /* what it says */
};

static bool start(struct program *p, const struct local *l,
	const struct strs *words, struct env *e, struct fault *f)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, pipe_only;
	int fds[2];
	char **argv = arena_alloc(l->a, (words->n + 1) * sizeof(*argv));

	for (size_t i = 0; i < words->n; i++)
		argv[i] = str_heap(words->v[i]);
	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0)
		return fault_sys(f, "pipe");
	p->out = fds[0];
	/* A program may expect its output to wait for us. */
	fcntl(fds[1], F_SETFL, 0);
	sigemptyset(&none);
	sigemptyset(&pipe_only);
	sigaddset(&pipe_only, SIGPIPE);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID |
						POSIX_SPAWN_SETSIGMASK |
						POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &pipe_only);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, p->in, 0);
	posix_spawn_file_actions_adddup2(&files, fds[1], 1);
	posix_spawn_file_actions_adddup2(&files, fds[1], 2);
	posix_spawn_file_actions_addclosefrom_np(&files, 3);
	const char *dir = p->directory != NULL ? p->directory : l->pw->pw_dir;
	posix_spawn_file_actions_addchdir_np(
		&files, access(dir, X_OK) == 0 ? dir : "/");
	int error = posix_spawnp(&p->pid, argv[0], &files, &attr, argv, e->v);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attr);
	close(fds[1]);
	for (size_t i = 0; i < words->n; i++)
		free(argv[i]);
	if (error == 0)
		return true;
	/* A program that is missing is a mistake of ours, not the sender's. */
	return fault_set(f, FAULT_TEMP, 451, 3, 5, "cannot run %.*s: %s",
		STR_ARG(words->v[0]), strerrordesc_np(error));
}

static void take_output(const struct program *p, struct buf *out)
{
	char bytes[1024];
	ssize_t n;

	while ((n = read(p->out, bytes, sizeof(bytes))) > 0)
		buf_put_mem(out, bytes,
			out->len + (size_t)n > OUTPUT_MAX
				? OUTPUT_MAX - out->len
				: (size_t)n);
}

/* Waits for the end, at most seconds; false: it was killed. */
static bool wait_for_end(const struct program *p, int64_t seconds,
	struct buf *out, int *status_r)
{
	int64_t deadline = clock_mono_ms() + seconds * 1000;
	int pidfd CLEANUP(fd_close) = pidfd_open(p->pid, 0);
	bool ended = false, quiet = false;

	while (!ended && clock_mono_ms() < deadline) {
		struct pollfd fds[2] = {{.fd = pidfd, .events = POLLIN},
			{.fd = quiet ? -1 : p->out, .events = POLLIN}};

		poll(fds, 2, (int)(deadline - clock_mono_ms()));
		take_output(p, out);
		quiet = (fds[1].revents & (POLLHUP | POLLERR)) != 0;
		ended = (fds[0].revents & POLLIN) != 0;
	}
	if (!ended)
		kill(-p->pid, SIGKILL);
	waitpid(p->pid, status_r, 0);
	take_output(p, out);
	return ended;
}

/* ---- the result ---- */

/* sysexits.h as RFC 3463 codes */
static const struct {
	int status;
	enum fault_class class;
	int subject, detail;
	const char *text;
} exits[] = {{EX_USAGE, FAULT_PERM, 3, 0, "command line usage error"},
	{EX_DATAERR, FAULT_PERM, 6, 0, "data format error"},
	{EX_NOINPUT, FAULT_PERM, 3, 0, "cannot open input"},
	{EX_NOUSER, FAULT_PERM, 1, 1, "user unknown"},
	{EX_NOHOST, FAULT_PERM, 1, 2, "host name unknown"},
	{EX_UNAVAILABLE, FAULT_PERM, 3, 0, "service unavailable"},
	{EX_SOFTWARE, FAULT_PERM, 3, 0, "internal software error"},
	{EX_OSERR, FAULT_TEMP, 3, 0, "system resource problem"},
	{EX_OSFILE, FAULT_PERM, 3, 0, "critical OS file missing"},
	{EX_CANTCREAT, FAULT_PERM, 2, 0, "can't create user output file"},
	{EX_IOERR, FAULT_PERM, 3, 0, "input/output error"},
	{EX_TEMPFAIL, FAULT_TEMP, 3, 0, "temporary failure"},
	{EX_PROTOCOL, FAULT_PERM, 5, 0, "remote error in protocol"},
	{EX_NOPERM, FAULT_PERM, 7, 0, "permission denied"},
	{EX_CONFIG, FAULT_PERM, 3, 5, "local configuration error"}};

static bool result(
	int status, struct str command, struct str output, struct fault *f)
{
	const char *says = output.len > 0 ? ". Command output: " : "";

	output = str_trim(output);
	if (WIFSIGNALED(status))
		return fault_set(f, FAULT_TEMP, 451, 3, 0,
			"command died with signal %d: \"%.*s\"%s%.*s",
			WTERMSIG(status), STR_ARG(command), says,
			STR_ARG(output));
	if (WEXITSTATUS(status) == 0)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(exits); i++)
		if (exits[i].status == WEXITSTATUS(status))
			return fault_set(f, exits[i].class,
				exits[i].class == FAULT_TEMP ? 451 : 554,
				exits[i].subject, exits[i].detail, "%s%s%.*s",
				exits[i].text, says, STR_ARG(output));
	return fault_set(f, FAULT_PERM, 554, 3, 0,
		"command died with status %d: \"%.*s\"%s%.*s",
		WEXITSTATUS(status), STR_ARG(command), says, STR_ARG(output));
}

/* The message as a program reads it: From_ line, LF at the ends. */
static int input(const struct local *l, struct fault *f)
{
	struct buf text CLEANUP(buf_fini);

	buf_init(&text, l->message.len * 2 + 65536);
	local_put_from_line(l->r.sender, &text);
	local_put_lf(l->r.prefix, false, &text);
	local_put_lf(l->message, false, &text);
	int fd = file_memory(buf_str(&text), f);
	if (fd >= 0)
		lseek(fd, 0, SEEK_SET);
	return fd;
}

static bool run(const struct local *l, const struct local_program *x,
	struct env *e, struct fault *f)
{
	struct program p = {.out = -1, .in = x->in, .directory = x->directory};
	struct buf out CLEANUP(buf_fini);
	int status = 0;

	/* For posix_spawnp, which looks a bare name up in ours. */
	setenv("PATH", command_path, 1);
	alarm((unsigned)x->seconds + REAP_MS / 1000);
	buf_init(&out, OUTPUT_MAX + 1);
	bool ok = start(&p, l, x->words, e, f);
	if (ok && !wait_for_end(&p, x->seconds, &out, &status))
		ok = fault_set(f, FAULT_PERM, 554, 3, 0,
			"command time limit exceeded: \"%.*s\"",
			STR_ARG(x->name));
	else if (ok)
		ok = result(status, x->name, buf_str(&out), f);
	fd_close(&p.out);
	return ok;
}

bool local_run(
	const struct local *l, const struct local_program *p, struct fault *f)
{
	struct env e;

	fill_env(&e, l);
	return run(l, p, &e, f);
}

/* postconf(5) command_execution_directory; NULL: the home. */
static bool directory_of(
	const struct local *l, const char **directory_r, struct fault *f)
{
	struct str text = l->conf->command_execution_directory, path;
	struct local seen = *l;
	const char *why;

	*directory_r = NULL;
	if (text.len == 0)
		return true;
	if (!expand(text, local_value, &seen, l->a, &path, &why))
		return fault_set(f, FAULT_TEMP, 451, 3, 5,
			"command_execution_directory: %s", why);
	*directory_r = arena_cstr(l->a, path);
	return access(*directory_r, X_OK) == 0 ||
	       fault_sys(f, "command_execution_directory: %s", *directory_r);
}

bool local_command(const struct local *l, struct str command, struct fault *f)
{
	struct strs words;
	struct env e;
	const char *why, *directory;

	if (!directory_of(l, &directory, f))
		return false;
	fill_env(&e, l);
	if (!command_words(command, env_value, &e, l->a, &words, &why))
		return fault_set(f, FAULT_TEMP, 451, 3, 5, "%.*s: %s",
			STR_ARG(command), why);
	int in CLEANUP(fd_close) = input(l, f);
	struct local_program p = {.words = &words,
		.in = in,
		.directory = directory,
		.seconds = l->conf->command_time_limit,
		.name = command};
	return in >= 0 && run(l, &p, &e, f);
}
