/* SPDX-License-Identifier: ISC */
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/must.h"
#include "sys/clock.h"
#include "sys/waiting.h"

enum { READ_MAX = 64 * 1024 };

static int (*fault_hook)(enum file_op op);

void file_set_hook(int (*hook)(enum file_op op))
{
	fault_hook = hook;
}

/* True when a test wants this operation to fail; errno is set then. */
static bool hooked(enum file_op op)
{
	int error = fault_hook != NULL ? fault_hook(op) : 0;

	if (error == 0)
		return false;
	errno = error;
	return true;
}

void fd_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

bool file_read_fd(int fd, size_t max_bytes, struct buf *out, struct fault *f)
{
	for (;;) {
		size_t want = 65536;

		if (out->len >= max_bytes) {
			char more;

			if (read(fd, &more, 1) == 0)
				return true;
			return fault_set(f, FAULT_PERM, 552, 3, 4,
				"file larger than %zu bytes", max_bytes);
		}
		if (want > max_bytes - out->len)
			want = max_bytes - out->len;
		if (!buf_reserve(out, want))
			return fault_set(f, FAULT_PERM, 552, 3, 4,
				"file larger than its buffer");
		ssize_t n = read(fd, out->data + out->len, want);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fault_sys(f, "read");
		if (n == 0)
			return true;
		out->len += (size_t)n;
	}
}

bool file_read(
	const char *path, size_t max_bytes, struct buf *out, struct fault *f)
{
	int fd CLEANUP(fd_close) = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return fault_sys(f, "open %s", path);
	return file_read_fd(fd, max_bytes, out, f);
}

bool file_write(int fd, struct str data, struct fault *f)
{
	if (hooked(FILE_WRITE))
		return fault_sys(f, "write");
	while (data.len > 0) {
		ssize_t n = write(fd, data.ptr, data.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fault_sys(f, "write");
		data = str_from_at(data, (size_t)n);
	}
	return true;
}

bool file_sync(int fd, struct fault *f)
{
	waiting_begin();
	bool ok = !hooked(FILE_SYNC) && fdatasync(fd) == 0;
	waiting_end();
	return ok || fault_sys(f, "fdatasync");
	return true;
}

bool file_rename(const char *from, const char *to, struct fault *f)
{
	if (hooked(FILE_RENAME) || rename(from, to) != 0)
		return fault_sys(f, "rename %s to %s", from, to);
	return true;
}

bool file_unlink(const char *path, struct fault *f)
{
	if (hooked(FILE_UNLINK) || (unlink(path) != 0 && errno != ENOENT))
		return fault_sys(f, "unlink %s", path);
	return true;
}

bool dir_sync_of(const char *path, struct fault *f)
{
	const char *slash = strrchr(path, '/');
	char dir[4096];

	snprintf(dir, sizeof(dir), "%.*s",
		slash != NULL && slash != path ? (int)(slash - path) : 1,
		slash != NULL ? path : ".");
	int fd CLEANUP(fd_close) =
		open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return fault_sys(f, "open %s", dir);
	if (hooked(FILE_SYNC) || fsync(fd) != 0)
		return fault_sys(f, "fsync %s", dir);
	return true;
}

bool dir_make(const char *path, mode_t mode, struct fault *f)
{
	char part[4096];
	size_t len = strlen(path);

	if (len == 0 || len >= sizeof(part)) {
		errno = ENAMETOOLONG;
		return fault_sys(f, "mkdir");
	}
	memcpy(part, path, len + 1);
	for (size_t i = 1; i <= len; i++) {
		if (part[i] != '/' && part[i] != '\0')
			continue;
		part[i] = '\0';
		if (mkdir(part, mode) != 0 && errno != EEXIST)
			return fault_sys(f, "mkdir %s", part);
		if (i < len)
			part[i] = '/';
	}
	return true;
}

int file_tmp(const char *dir, struct fault *f)
{
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0)
		fault_sys(f, "open a nameless file in %s", dir);
	return fd;
}

bool file_link_fd(int fd, const char *path, struct fault *f)
{
	char self[64];

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	if (hooked(FILE_LINK) ||
		linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW) != 0)
		return fault_sys(f, "link %s", path);
	return true;
}

bool file_replace(
	const char *path, struct str data, mode_t mode, struct fault *f)
{
	char tmp[4096];

	snprintf(tmp, sizeof(tmp), "%s.%016llx.tmp", path,
		(unsigned long long)random_u64());
	int fd CLEANUP(fd_close) =
		open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0)
		return fault_sys(f, "create %s", tmp);
	if (file_write(fd, data, f) && file_sync(fd, f) &&
		file_rename(tmp, path, f))
		return dir_sync_of(path, f);
	unlink(tmp);
	return false;
}

int file_memory(struct str data, struct fault *f)
{
	int fd = memfd_create("postern", MFD_CLOEXEC);

	if (fd < 0) {
		fault_sys(f, "memfd_create");
		return -1;
	}
	while (data.len > 0) {
		ssize_t n = write(fd, data.ptr, data.len);

		if (n < 0) {
			fault_sys(f, "write to memory");
			close(fd);
			return -1;
		}
		data = str_from_at(data, (size_t)n);
	}
	lseek(fd, 0, SEEK_SET);
	return fd;
}

/* Taking pages away costs every thread of the process: small files are read.
 */
static bool read_whole(
	int fd, size_t size, struct file_map *map_r, struct fault *f)
{
	char *p = must_alloc(size);
	size_t at = 0;

	while (at < size) {
		ssize_t n = pread(fd, p + at, size - at, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			free(p);
			return fault_sys(f, "read");
		}
		if (n == 0)
			break;
		at += (size_t)n;
	}
	*map_r = (struct file_map){str_of(p, at), p, true};
	return true;
}

bool file_map_fd(int fd, struct file_map *map_r, struct fault *f)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return fault_sys(f, "fstat");
	if (st.st_size == 0) {
		*map_r = (struct file_map){.bytes = STR("")};
		return true;
	}
	if (st.st_size <= READ_MAX)
		return read_whole(fd, (size_t)st.st_size, map_r, f);
	void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return fault_sys(f, "mmap");
	*map_r = (struct file_map){str_of(p, (size_t)st.st_size), p, false};
	return true;
}

void file_unmap(struct file_map *map)
{
	if (map->heap)
		free(map->map);
	else if (map->map != NULL)
		munmap(map->map, map->bytes.len);
	*map = (struct file_map){0};
}
