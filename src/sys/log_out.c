/* SPDX-License-Identifier: ISC */
#include "sys/log_out.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/must.h"
#include "sys/clock.h"
#include "sys/thread.h"
#include "sys/trail.h"

enum {
	GATHER_MS = 10,
	FEW = 32, /* lines in that time: each is written at once */
	/* Lines of several processes do not mix: pipe(7) */
	LINES_BYTES = PIPE_BUF,
	TRAIL_BYTES = 16384,
	STACK_BYTES = 128 * 1024,
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t some_wait;
	bool gathers;
	bool waiting; /* lines wait for the writer */
	bool many; /* came in the last GATHER_MS, or this one */
	int64_t since_ms; /* clock_mono_ms() when this one began */
	unsigned came; /* since then */
	size_t n_lines; /* bytes */
	size_t n_trail;
	char lines[LINES_BYTES];
	char trail[TRAIL_BYTES];
} state = {.lock = PTHREAD_MUTEX_INITIALIZER,
	.some_wait = PTHREAD_COND_INITIALIZER};

static void write_lines(struct str lines)
{
	/* There is nobody to tell that the log cannot be written. */
	if (lines.len > 0 && write(2, lines.ptr, lines.len) < 0)
		return;
}

static void write_gathered(void)
{
	write_lines((struct str){state.lines, state.n_lines});
	if (state.n_trail > 0)
		trail_put((struct str){state.trail, state.n_trail});
	state.n_lines = state.n_trail = 0;
}

static void add(char *to, size_t *n, struct str line)
{
	if (line.len > 0)
		memcpy(to + *n, line.ptr, line.len);
	*n += line.len;
}

static void gather(struct str line, struct str trail_line)
{
	must(line.len <= LINES_BYTES && trail_line.len <= TRAIL_BYTES);
	if (state.n_lines + line.len > sizeof(state.lines) ||
		state.n_trail + trail_line.len > sizeof(state.trail))
		write_gathered();
	add(state.lines, &state.n_lines, line);
	add(state.trail, &state.n_trail, trail_line);
}

static bool come_fast(int64_t now)
{
	if (now - state.since_ms >= GATHER_MS) {
		state.many = state.came > FEW &&
			     now - state.since_ms < 2 * GATHER_MS;
		state.came = 0;
		state.since_ms = now;
	}
	if (++state.came > FEW)
		state.many = true;
	return state.many;
}

void log_out_put(struct str line, struct str trail_line, bool urgent)
{
	bool first = false;

	pthread_mutex_lock(&state.lock);
	gather(line, trail_line);
	if (urgent || !state.gathers || !come_fast(clock_mono_ms()))
		write_gathered();
	else if (!state.waiting)
		state.waiting = first = true;
	pthread_mutex_unlock(&state.lock);
	if (first)
		pthread_cond_signal(&state.some_wait);
}

static void *run_writer(void *unused UNUSED)
{
	const struct timespec moment = {.tv_nsec = GATHER_MS * 1000000};

	pthread_mutex_lock(&state.lock);
	for (;;) {
		while (!state.waiting)
			pthread_cond_wait(&state.some_wait, &state.lock);
		pthread_mutex_unlock(&state.lock);
		nanosleep(&moment, NULL);
		pthread_mutex_lock(&state.lock);
		write_gathered();
		state.waiting = false;
	}
	return NULL;
}

/* ---- the end of a process ---- */

static void at_exit(void)
{
	pthread_mutex_lock(&state.lock);
	write_gathered();
	state.gathers = false;
	pthread_mutex_unlock(&state.lock);
}

/* Of a crash: the lines before it are those that explain it.  Nobody's lock is
 * waited for; the signal comes again, without the handler. */
static void at_crash(int signal UNUSED)
{
	int saved = errno;

	write_lines((struct str){state.lines, state.n_lines});
	trail_put_dying((struct str){state.trail, state.n_trail});
	state.n_lines = state.n_trail = 0;
	errno = saved;
}

static void listen_for_crashes(void)
{
	static const int signals[] = {SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE};
	struct sigaction ours = {
		.sa_handler = at_crash, .sa_flags = (int)SA_RESETHAND};
	struct sigaction old;

	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		/* A sanitizer's handler has more to say. */
		if (sigaction(signals[i], NULL, &old) == 0 &&
			old.sa_handler == SIG_DFL)
			sigaction(signals[i], &ours, NULL);
}

static void before_fork(void)
{
	pthread_mutex_lock(&state.lock);
}

static void in_parent(void)
{
	pthread_mutex_unlock(&state.lock);
}

/* What waits is the parent's to write, and the writer is not here. */
static void in_child(void)
{
	state.n_lines = state.n_trail = 0;
	state.gathers = state.waiting = false;
	pthread_mutex_unlock(&state.lock);
}

void log_out_gather(void)
{
	if (!thread_start(run_writer, NULL, STACK_BYTES, NULL))
		return;
	pthread_atfork(before_fork, in_parent, in_child);
	atexit(at_exit);
	listen_for_crashes();
	pthread_mutex_lock(&state.lock);
	state.gathers = true;
	pthread_mutex_unlock(&state.lock);
}
