/* SPDX-License-Identifier: ISC */
/* What comes out of a process, and in how many pieces: each case runs in a
 * child whose descriptor 2 is a pipe that keeps its packets apart. */
#include "tests/unit/test.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/must.h"
#include "sys/file.h"
#include "sys/log.h"
#include "sys/log_out.h"
#include "sys/trail.h"

enum { THREADS = 4, EACH = 2000, PACKET = 4096, SOME = 200, FEW = 30 };

struct out {
	struct buf text;
	size_t packets;
	int status; /* of the child */
};

static char trail_dir[] = "/tmp/test_log.XXXXXX";

static void begin(void)
{
	struct trail_limits limits = {64 << 20, 3600};

	log_open("test", false, NULL);
	trail_open(trail_dir, "test.0", &limits);
	log_gather();
}

/* Runs the case in a child, and takes what it writes until its end, or until
 * there are so many lines: then it is killed. */
static struct out run(void (*body)(void), size_t lines)
{
	struct out o = {.packets = 0};
	int fds[2];
	char packet[PACKET];
	size_t seen = 0;
	ssize_t n;

	buf_init(&o.text, 64 << 20);
	assert_int_equal(0, pipe2(fds, O_DIRECT | O_CLOEXEC));
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(fds[1], 2);
		close(fds[0]);
		close(fds[1]);
		begin();
		body();
		exit(0);
	}
	close(fds[1]);
	while (seen < lines && (n = read(fds[0], packet, PACKET)) > 0) {
		o.packets++;
		assert_int_equal('\n', packet[n - 1]); /* whole lines */
		buf_put_mem(&o.text, packet, (size_t)n);
		for (ssize_t i = 0; i < n; i++)
			seen += packet[i] == '\n';
	}
	if (lines != SIZE_MAX)
		kill(pid, SIGKILL);
	close(fds[0]);
	assert_int_equal(pid, waitpid(pid, &o.status, 0));
	return o;
}

static size_t count(struct str text, const char *what)
{
	size_t n = 0;
	const char *at;

	while (text.len > 0 &&
		(at = memmem(text.ptr, text.len, what, strlen(what))) != NULL) {
		n++;
		text = str_from_at(
			text, (size_t)(at - text.ptr) + strlen(what));
	}
	return n;
}

/* And removes it. */
static struct str trail(struct arena *a)
{
	struct buf all;
	struct strs paths = {0};
	struct fault f;

	buf_init(&all, 64 << 20);
	assert_true(trail_files(trail_dir, a, &paths, &f));
	for (size_t i = 0; i < paths.n; i++) {
		assert_true(file_read(paths.v[i].ptr, 64 << 20, &all, &f));
		unlink(paths.v[i].ptr);
	}
	struct str s = arena_str(a, buf_str(&all));
	buf_fini(&all);
	return s;
}

static void *talk(void *ctx)
{
	const char *who = ctx;

	for (int64_t i = 0; i < EACH; i++)
		log_info("line", log_z("who", who), log_n("n", i));
	return NULL;
}

static void crowd(void)
{
	static char names[THREADS][2] = {"a", "b", "c", "d"};
	pthread_t t[THREADS];

	for (size_t i = 0; i < THREADS; i++)
		must(pthread_create(&t[i], NULL, talk, names[i]) == 0);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
}

/* Each thread's lines in their order, none lost, in few pieces. */
static void together(void **state UNUSED)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct out o = run(crowd, SIZE_MAX);
	struct str rest = buf_str(&o.text), line;
	int64_t next[THREADS] = {0};

	assert_int_equal(0, o.status);
	while (str_present(line = str_cut(&rest, '\n')) && line.len > 0) {
		const char *who = memmem(line.ptr, line.len, "who=", 4);
		const char *n = memmem(line.ptr, line.len, " n=", 3);

		assert_true(who != NULL && n != NULL);
		size_t i = (size_t)(who[4] - 'a');
		assert_int_equal(next[i]++, atoi(n + 3));
	}
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(EACH, next[i]);
	assert_true(o.packets < THREADS * EACH / 10);
	assert_int_equal(THREADS * EACH, count(trail(a), "\"event\":\"line\""));
	buf_fini(&o.text);
}

static void few_and_gone(void)
{
	for (int64_t i = 0; i < FEW; i++)
		log_info("alone", log_n("n", i));
	kill(getpid(), SIGKILL);
}

/* While it is quiet nothing waits. */
static void at_once(void **state UNUSED)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct out o = run(few_and_gone, SIZE_MAX);

	assert_int_equal(FEW, count(buf_str(&o.text), "alone"));
	assert_int_equal(FEW, count(trail(a), "alone"));
	buf_fini(&o.text);
}

static void some(void)
{
	for (int64_t i = 0; i < SOME; i++)
		log_info("some", log_n("n", i));
}

static void some_and_rest(void)
{
	some();
	for (;;)
		pause();
}

/* What waits comes without another line behind it. */
static void soon(void **state UNUSED)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct out o = run(some_and_rest, SOME);

	assert_int_equal(SOME, count(buf_str(&o.text), "some"));
	trail(a);
	buf_fini(&o.text);
}

static void some_and_abort(void)
{
	some();
	abort();
}

/* The lines before a crash are those that explain it. */
static void crash(void **state UNUSED)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct out o = run(some_and_abort, SIZE_MAX);

	assert_true(WIFSIGNALED(o.status));
	assert_int_equal(SIGABRT, WTERMSIG(o.status));
	assert_int_equal(SOME, count(buf_str(&o.text), "some"));
	assert_int_equal(SOME, count(trail(a), "some"));
	buf_fini(&o.text);
}

static void some_and_warning(void)
{
	some();
	log_warn("look");
	kill(getpid(), SIGKILL);
}

/* A warning is there when log_put returns, and what was before it. */
static void urgent(void **state UNUSED)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct out o = run(some_and_warning, SIZE_MAX);

	assert_int_equal(SOME, count(buf_str(&o.text), "some"));
	assert_int_equal(1, count(buf_str(&o.text), "warning: look"));
	assert_int_equal(SOME + 1, count(trail(a), "\n"));
	buf_fini(&o.text);
}

static void some_and_fork(void)
{
	some();
	pid_t pid = fork();
	must(pid >= 0);
	if (pid == 0) {
		log_info("child");
		exit(0);
	}
	must(waitpid(pid, NULL, 0) == pid);
}

/* A child has its own lines to write, not once more its parent's. */
static void forked(void **state UNUSED)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct out o = run(some_and_fork, SIZE_MAX);

	assert_int_equal(0, o.status);
	assert_int_equal(SOME, count(buf_str(&o.text), "some"));
	assert_int_equal(1, count(buf_str(&o.text), "child"));
	trail(a);
	buf_fini(&o.text);
}

static void long_values(void)
{
	static const char kinds[] = {'a', ' ', '\1', '\xff', '"'};
	char v[6000];

	for (size_t i = 0; i < sizeof(kinds); i++) {
		memset(v, kinds[i], sizeof(v));
		struct str s = str_of(v, sizeof(v));

		log_info("long", log_s("one", s));
		log_info("long", log_s("one", s), log_s("two", s),
			log_s("three", s), log_s("four", s), log_s("five", s));
		log_warn("after");
	}
}

/* Whatever a peer says, a line ends, is one, and is no longer than a pipe takes
 * in one piece. */
static void bounded(void **state UNUSED)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct out o = run(long_values, SIZE_MAX);
	struct str all[] = {buf_str(&o.text), trail(a)};

	assert_int_equal(0, o.status);
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		struct str rest = all[i];
		size_t lines = 0;

		while (rest.len > 0) {
			struct str line = str_cut(&rest, '\n');

			assert_true(line.len < PACKET);
			assert_true(i == 0 || str_ends(line, "}"));
			lines++;
		}
		assert_int_equal(15, lines);
		assert_int_equal(10, count(all[i], "long"));
		assert_int_equal(5, count(all[i], "after"));
	}
	buf_fini(&o.text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(together),
		cmocka_unit_test(at_once), cmocka_unit_test(soon),
		cmocka_unit_test(crash), cmocka_unit_test(urgent),
		cmocka_unit_test(forked), cmocka_unit_test(bounded)};

	must(mkdtemp(trail_dir) != NULL);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(trail_dir);
	return failed;
}
