/* SPDX-License-Identifier: ISC */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "db/db.h"
#include "store/keeping.h"
#include "sys/clock.h"
#include "sys/file.h"

static bool copy_file(const char *from, const char *to, struct fault *f)
{
	struct file_map map CLEANUP(file_unmap) = {0};
	int in CLEANUP(fd_close) = open(from, O_RDONLY | O_CLOEXEC);

	if (in < 0)
		return errno == ENOENT || fault_sys(f, "open %s", from);
	return file_map_fd(in, &map, f) && file_replace(to, map.bytes, 0600, f);
}

/* A body never changes once it has its name: a link is a copy. */
static bool keep_body(const char *from, const char *to, struct fault *f)
{
	if (link(from, to) == 0 || errno == EEXIST || errno == ENOENT)
		return true;
	return errno == EXDEV || errno == EPERM || errno == EMLINK
		       ? copy_file(from, to, f)
		       : fault_sys(f, "link %s", to);
}

static bool keep_bodies(const char *from, const char *to, struct fault *f)
{
	DIR *d = opendir(from);
	bool ok = true;

	if (d == NULL)
		return errno == ENOENT || fault_sys(f, "open %s", from);
	if (!dir_make(to, 0700, f)) {
		closedir(d);
		return false;
	}
	for (struct dirent *e; ok && (e = readdir(d)) != NULL;) {
		char source[4096], target[4096];
		uint64_t id;

		if (!id_parse(str_from(e->d_name), &id))
			continue;
		snprintf(source, sizeof(source), "%s/%s", from, e->d_name);
		snprintf(target, sizeof(target), "%s/%s", to, e->d_name);
		ok = keep_body(source, target, f);
	}
	closedir(d);
	return ok;
}

static bool copy_rows(const char *from, const char *to, struct fault *f)
{
	char fresh[4200];
	struct db *db = db_open(from, DB_LOOSE, f);

	if (db == NULL)
		return false;
	snprintf(fresh, sizeof(fresh), "%s.new", to);
	unlink(fresh);
	bool ok = db_run(db, f, "VACUUM INTO ?", "t", str_from(fresh));
	db_close(db);
	int fd CLEANUP(fd_close) = ok ? open(fresh, O_RDONLY | O_CLOEXEC) : -1;
	if (ok && fd < 0)
		return fault_sys(f, "open %s", fresh);
	return ok && file_sync(fd, f) && file_rename(fresh, to, f) &&
	       dir_sync_of(to, f);
}

bool store_backup(const char *dir, const char *to, struct fault *f)
{
	char from_path[4096], to_path[4096], from_blobs[4096], to_blobs[4096];
	bool ok = dir_make(to, 0700, f);
	unsigned i;

	for (i = 0; ok; i++) {
		snprintf(from_path, sizeof(from_path), "%s/mail.%u.db", dir, i);
		if (access(from_path, F_OK) != 0)
			break;
		snprintf(to_path, sizeof(to_path), "%s/mail.%u.db", to, i);
		snprintf(from_blobs, sizeof(from_blobs), "%s/blobs.%u", dir, i);
		snprintf(to_blobs, sizeof(to_blobs), "%s/blobs.%u", to, i);
		/* Before the rows what may go meanwhile, after them what came:
		 * there is a body for every row. */
		ok = keep_bodies(from_blobs, to_blobs, f) &&
		     copy_rows(from_path, to_path, f) &&
		     keep_bodies(from_blobs, to_blobs, f);
	}
	if (ok && i == 0)
		return fault_set(f, FAULT_PERM, 0, 0, 2, "no store in %s", dir);
	snprintf(from_path, sizeof(from_path), "%s/shards", dir);
	snprintf(to_path, sizeof(to_path), "%s/shards", to);
	return ok && copy_file(from_path, to_path, f);
}
