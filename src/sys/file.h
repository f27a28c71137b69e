/* SPDX-License-Identifier: ISC */
#ifndef SYS_FILE_H
#define SYS_FILE_H

/*
 * file: files with our rules.  Everything that must survive a power cut goes
 * through here, so that tests can fail any step (file_set_hook).
 * Functions return false and fill the fault; descriptors are O_CLOEXEC.
 */

#include <sys/types.h>

#include "base/buf.h"
#include "base/fault.h"

enum file_op { FILE_WRITE, FILE_SYNC, FILE_RENAME, FILE_LINK, FILE_UNLINK };

/*
 * Called before each operation; a result other than 0 is the errno that the
 * operation fails with.  For tests; NULL switches it off.
 */
void file_set_hook(int (*hook)(enum file_op op));

void fd_close(int *fd); /* for CLEANUP; keeps -1 */

bool file_read(
	const char *path, size_t max_bytes, struct buf *out, struct fault *f);
bool file_read_fd(int fd, size_t max_bytes, struct buf *out, struct fault *f);
bool file_write(int fd, struct str data, struct fault *f);
bool file_sync(int fd, struct fault *f); /* fdatasync */
bool file_rename(const char *from, const char *to, struct fault *f);
bool file_unlink(const char *path, struct fault *f);
/* Makes the name durable: fsync of the directory that holds path. */
bool dir_sync_of(const char *path, struct fault *f);
bool dir_make(const char *path, mode_t mode, struct fault *f); /* mkdir -p */

/* A nameless file in dir, and its later name.  RFC: none, open(2) O_TMPFILE */
int file_tmp(const char *dir, struct fault *f); /* -1 on failure */
bool file_link_fd(int fd, const char *path, struct fault *f);

/* path gets data at once and for good, or stays as it was. */
bool file_replace(
	const char *path, struct str data, mode_t mode, struct fault *f);

/* A nameless file in memory that holds data. -1 on failure */
int file_memory(struct str data, struct fault *f);

/* A whole file for reading: mapped, or read where it is small. */
struct file_map {
	struct str bytes;
	void *map; /* NULL for an empty file */
	bool heap; /* map is on the heap */
};
bool file_map_fd(int fd, struct file_map *map_r, struct fault *f);
void file_unmap(struct file_map *map); /* for CLEANUP */

#endif
