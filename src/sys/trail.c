/* SPDX-License-Identifier: ISC */
#include "sys/trail.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/must.h"
#include "sys/clock.h"
#include "sys/file.h"

enum {
	FILES_OF_A_BOUND = 64, /* one file is that part of all bytes */
	FILE_BYTES_MIN = 64 * 1024,
	FILE_SECONDS = 86400,
	RETRY_SECONDS = 60,
};

static struct {
	pthread_mutex_t lock;
	char *dir; /* NULL: no trail */
	char *name;
	struct trail_limits limits;
	int fd; /* -1: not begun */
	int64_t begun; /* Unix seconds; of the file, or of the last try */
	int64_t bytes; /* of the file */
	int64_t looked; /* Unix seconds: when it was there the last time */
} state = {.lock = PTHREAD_MUTEX_INITIALIZER, .fd = -1};

void trail_open(
	const char *dir, const char *name, const struct trail_limits *limits)
{
	if (limits->bytes <= 0)
		return;
	state.dir = must_strdup(dir);
	state.name = must_strdup(name);
	state.limits = *limits;
}

bool trail_is_open(void)
{
	return state.dir != NULL;
}

static int by_text(const void *a, const void *b)
{
	const struct str *x = a, *y = b;

	return str_cmp(*x, *y);
}

bool trail_files(
	const char *dir, struct arena *a, struct strs *paths, struct fault *f)
{
	DIR *d = opendir(dir);

	if (d == NULL)
		return fault_sys(f, "open %s", dir);
	for (struct dirent *e; (e = readdir(d)) != NULL;)
		if (e->d_name[0] != '.')
			strs_add(paths, a,
				arena_printf(a, "%s/%s", dir, e->d_name));
	closedir(d);
	if (paths->n > 0)
		qsort(paths->v, paths->n, sizeof(*paths->v), by_text);
	return true;
}

static int64_t begun_at(struct str path)
{
	ptrdiff_t slash = str_rfind(path, '/');

	return (int64_t)strtoull(path.ptr + slash + 1, NULL, 16);
}

/* Others may be sweeping too: a file that is gone is none of our business. */
static void sweep(int64_t now)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct strs paths = {0};
	int64_t total = 0;
	struct fault f;

	if (!trail_files(state.dir, a, &paths, &f))
		return;
	for (size_t i = paths.n; i-- > 0;) {
		struct stat st;

		if (stat(paths.v[i].ptr, &st) != 0)
			continue;
		total += st.st_size;
		/* The age is that of the youngest line. */
		if (total > state.limits.bytes ||
			(st.st_mtime < now - state.limits.seconds &&
				begun_at(paths.v[i]) <
					now - state.limits.seconds))
			unlink(paths.v[i].ptr);
	}
}

/* Another process may have swept our file: who is quiet has an old one.  Looked
 * at once a second, not for each line. */
static bool is_gone(int64_t now)
{
	struct stat st;

	if (now == state.looked)
		return false;
	state.looked = now;
	return fstat(state.fd, &st) != 0 || st.st_nlink == 0;
}

static bool is_full(int64_t now)
{
	int64_t most = state.limits.bytes / FILES_OF_A_BOUND;

	return state.bytes >= (most > FILE_BYTES_MIN ? most : FILE_BYTES_MIN) ||
	       now - state.begun >= FILE_SECONDS;
}

static void begin(int64_t now)
{
	char path[4096];

	if (state.fd < 0 && now - state.begun < RETRY_SECONDS)
		return; /* the disk is full, and was a moment ago */
	fd_close(&state.fd);
	state.begun = now;
	state.bytes = 0;
	snprintf(path, sizeof(path), "%s/%010llx.%s", state.dir,
		(unsigned long long)now, state.name);
	sweep(now);
	state.fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

void trail_put(struct str lines)
{
	int saved = errno;
	int64_t now = clock_unix();

	if (state.dir == NULL)
		return;
	pthread_mutex_lock(&state.lock);
	if (state.fd < 0 || is_full(now) || is_gone(now))
		begin(now);
	if (state.fd >= 0 &&
		write(state.fd, lines.ptr, lines.len) == (ssize_t)lines.len)
		state.bytes += (int64_t)lines.len;
	else
		fd_close(&state.fd);
	pthread_mutex_unlock(&state.lock);
	errno = saved;
}

void trail_put_dying(struct str lines)
{
	if (state.fd >= 0 && lines.len > 0 &&
		write(state.fd, lines.ptr, lines.len) < 0)
		return;
}
