/* SPDX-License-Identifier: ISC */
/*
 * A message written into an mbox or a Maildir.  maildir(5)
 *
 * What goes wrong is temporary, but for a full mailbox: mail is not bounced
 * because a directory is missing; it is made.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "role/master/local.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/sandbox.h"

enum { LOCK_TRIES = 100, LOCK_WAIT_NS = 100 * 1000000, LOCK_STALE_S = 500 };

/* ---- text ---- */

void local_put_lf(struct str in, bool quote_from, struct buf *out)
{
	while (str_present(in) && in.len > 0) {
		struct str line = str_cut(&in, '\n');

		if (str_ends(line, "\r"))
			line.len--;
		if (quote_from && str_starts(line, "From "))
			buf_putc(out, '>');
		buf_put(out, line);
		buf_putc(out, '\n');
	}
}

void local_put_from_line(struct str sender, struct buf *out)
{
	time_t now = (time_t)clock_unix();
	struct tm tm;
	char date[64];

	localtime_r(&now, &tm);
	strftime(date, sizeof(date), "%a %b %e %H:%M:%S %Y", &tm);
	buf_puts(out, "From ");
	for (size_t i = 0; i < sender.len; i++)
		buf_putc(out, sender.ptr[i] == ' ' ? '_' : sender.ptr[i]);
	if (sender.len == 0)
		buf_puts(out, "MAILER-DAEMON");
	buf_putf(out, "  %s\n", date);
}

/* ---- mbox ---- */

/* name.lock, taken over when its owner died long ago */
static bool dotlock(const char *path, struct fault *f)
{
	struct timespec wait = {.tv_nsec = LOCK_WAIT_NS};
	struct stat st;

	for (int i = 0; i < LOCK_TRIES; i++) {
		int fd = open(
			path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

		if (fd >= 0) {
			close(fd);
			return true;
		}
		if (errno != EEXIST)
			return fault_sys(f, "create %s", path);
		if (stat(path, &st) == 0 &&
			st.st_mtime + LOCK_STALE_S < time(NULL))
			unlink(path);
		nanosleep(&wait, NULL);
	}
	return fault_set(f, FAULT_TEMP, 451, 2, 0, "%s is locked", path);
}

static bool append(int fd, struct str text, uint64_t limit, struct fault *f)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	struct stat st;

	if (fcntl(fd, F_SETLKW, &lock) != 0 || fstat(fd, &st) != 0)
		return fault_sys(f, "lock the mailbox");
	if (!S_ISREG(st.st_mode))
		return fault_set(
			f, FAULT_TEMP, 451, 2, 0, "the mailbox is no file");
	if (limit > 0 && (uint64_t)st.st_size + text.len > limit)
		return fault_set(f, FAULT_PERM, 552, 2, 2, "mailbox is full");
	if (file_write(fd, text, f) && file_sync(fd, f))
		return true;
	/* Half a message is none. */
	if (ftruncate(fd, st.st_size) != 0)
		return false;
	return false;
}

static bool deliver_mbox(const char *path, const struct local_request *r,
	struct str message, uint64_t limit, struct fault *f)
{
	struct buf text CLEANUP(buf_fini);
	char lock[4200];

	buf_init(&text, message.len * 2 + 65536);
	local_put_from_line(r->sender, &text);
	local_put_lf(r->prefix, false, &text);
	local_put_lf(message, true, &text);
	buf_putc(&text, '\n');
	snprintf(lock, sizeof(lock), "%s.lock", path);
	if (!dotlock(lock, f))
		return false;
	int fd CLEANUP(fd_close) = open(path,
		O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool ok = fd >= 0 ? append(fd, buf_str(&text), limit, f)
			  : fault_sys(f, "open %s", path);
	unlink(lock);
	return ok;
}

/* ---- Maildir ---- */

static bool deliver_maildir(const char *dir, const struct local_request *r,
	struct str message, uint64_t limit, struct fault *f)
{
	static const char *const subs[] = {"tmp", "new", "cur"};
	struct buf text CLEANUP(buf_fini);
	char host[256] = "localhost", path[4200], tmp[500], final[4800];
	struct stat st;

	for (size_t i = 0; i < ARRAY_LEN(subs); i++) {
		snprintf(path, sizeof(path), "%s%s", dir, subs[i]);
		if (!dir_make(path, 0700, f))
			return false;
	}
	buf_init(&text, message.len * 2 + 65536);
	local_put_lf(r->prefix, false, &text);
	local_put_lf(message, false, &text);
	if (limit > 0 && text.len > limit)
		return fault_set(f, FAULT_PERM, 552, 2, 2,
			"message too large for the mailbox");
	gethostname(host, sizeof(host) - 1);
	snprintf(path, sizeof(path), "%stmp", dir);
	int fd CLEANUP(fd_close) = file_tmp(path, f);
	if (fd < 0 || fstat(fd, &st) != 0)
		return false;
	int64_t us = clock_unix_us();
	snprintf(tmp, sizeof(tmp), "%lld.V%llxI%llxM%lld.%s",
		(long long)(us / 1000000), (unsigned long long)st.st_dev,
		(unsigned long long)st.st_ino, (long long)(us % 1000000), host);
	snprintf(final, sizeof(final), "%snew/%s", dir, tmp);
	return file_write(fd, buf_str(&text), f) && file_sync(fd, f) &&
	       file_link_fd(fd, final, f) && dir_sync_of(final, f);
}

/* ---- the sandbox ---- */

/* The directory that holds path, made; what the sandbox will allow. */
static bool make_parent(
	const char *path, char *parent, size_t len, struct fault *f)
{
	snprintf(parent, len, "%s", path);
	size_t n = strlen(parent);
	while (n > 1 && parent[n - 1] == '/')
		parent[--n] = '\0';
	char *slash = strrchr(parent, '/');
	if (slash == NULL || slash == parent)
		return fault_set(f, FAULT_TEMP, 451, 2, 0,
			"no path for a mailbox: %s", path);
	*slash = '\0';
	return dir_make(parent, 0700, f);
}

static bool enter(const char *parent, struct fault *f)
{
	const char *const write_paths[] = {parent, NULL};
	const char *const read_paths[] = {
		"/proc/self", "/etc/localtime", "/usr/share/zoneinfo", NULL};
	struct sandbox s = {.read = read_paths, .write = write_paths};
	const char *missing;

	return sandbox_enter(&s, &missing, f);
}

bool local_file(const struct local_request *r, struct str path,
	struct str message, uint64_t limit, struct fault *f)
{
	char where[4096], parent[4096];

	if (path.len < 2 || path.len >= sizeof(where) - 64 ||
		path.ptr[0] != '/')
		return fault_set(f, FAULT_TEMP, 451, 2, 0, "bad mailbox path");
	snprintf(where, sizeof(where), "%.*s", STR_ARG(path));
	return make_parent(where, parent, sizeof(parent), f) &&
	       enter(parent, f) &&
	       (str_ends(path, "/")
			       ? deliver_maildir(where, r, message, limit, f)
			       : deliver_mbox(where, r, message, limit, f));
}
