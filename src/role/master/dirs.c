/* SPDX-License-Identifier: ISC */
/* Where things lie, and who runs: set up before the first role starts. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "role/master/master.h"
#include "sys/file.h"

static bool make(struct arena *a, struct str base, const char *sub, int64_t uid,
	int64_t gid, struct fault *f)
{
	const char *path =
		sub[0] != '\0'
			? arena_printf(a, "%.*s/%s", STR_ARG(base), sub).ptr
			: arena_cstr(a, base);

	if (!dir_make(path, 0755, f))
		return false;
	if (chmod(path, sub[0] != '\0' ? 0700 : 0755) != 0)
		return fault_sys(f, "chmod %s", path);
	if (uid >= 0 && chown(path, (uid_t)uid, (gid_t)gid) != 0)
		return fault_sys(f, "chown %s", path);
	return true;
}

bool master_make_dirs(
	const struct conf *c, int64_t uid, int64_t gid, struct fault *f)
{
	static const char *const queue_subs[] = {
		"", "run", "tmp", "queue", "trail", "private"};
	static const char *const data_subs[] = {
		"", "accounts", "reports", "mta-sts"};
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);

	for (size_t i = 0; i < ARRAY_LEN(queue_subs); i++)
		if (!make(a, c->queue_directory, queue_subs[i], uid, gid, f))
			return false;
	for (size_t i = 0; i < ARRAY_LEN(data_subs); i++)
		if (!make(a, c->data_directory, data_subs[i], uid, gid, f))
			return false;
	if (!make(a, c->dkim_key_directory, "", uid, gid, f) ||
		chmod(arena_cstr(a, c->dkim_key_directory), 0700) != 0)
		return false;
	/* Anybody may come here, to connect to pickup. */
	if (!make(a, c->queue_directory, "public", uid, gid, f) ||
		chmod(arena_printf(
			      a, "%.*s/public", STR_ARG(c->queue_directory))
				.ptr,
			0755) != 0)
		return false;
	return make(a, c->mail_storage_directory, "", uid, gid, f) &&
	       (chmod(arena_cstr(a, c->mail_storage_directory), 0700) == 0 ||
		       fault_sys(f, "chmod"));
}

int master_running_pid(const struct conf *c)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct str path = arena_printf(
		a, "%.*s/run/master.pid", STR_ARG(c->queue_directory));
	struct buf text CLEANUP(buf_fini);
	struct fault f;
	uint64_t pid;

	int fd CLEANUP(fd_close) = open(path.ptr, O_RDONLY | O_CLOEXEC);
	/* A running master holds the lock. */
	if (fd < 0 || flock(fd, LOCK_SH | LOCK_NB) == 0)
		return 0;
	buf_init(&text, 4096);
	if (!file_read_fd(fd, 64, &text, &f) ||
		!str_u64(str_trim(buf_str(&text)), &pid))
		return 0;
	return (int)pid;
}
