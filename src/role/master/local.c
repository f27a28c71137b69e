/* SPDX-License-Identifier: ISC */
/*
 * A child of master delivers with the rights of an account: into the user's
 * mailbox, or to a file, a command or a list that an alias names.  local(8)
 *
 * Only master may change uid, so it does not take the asker's word: the paths
 * of a user's mailbox and .forward are its own, and with a user's rights it
 * runs and opens what the user's .forward or alias file names, nothing else.
 */
#include "role/master/local.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec/postfix/aliases.h"
#include "codec/postfix/expand.h"
#include "codec/postfix/lines.h"
#include "codec/smtp/path.h"
#include "conf/table.h"
#include "role/master/master.h"
#include "sys/file.h"
#include "sys/log.h"

enum { CHILD_SECONDS = 110, LIST_BYTES_MAX = 16 << 20 };

bool local_become(const struct passwd *pw, const char *spool, struct fault *f)
{
	gid_t groups[256];
	struct stat st;
	int n = 255;

	if (pw->pw_uid == 0)
		return fault_set(f, FAULT_TEMP, 451, 2, 0,
			"nothing is delivered as root: write an alias");
	if (geteuid() == pw->pw_uid)
		return true;
	if (geteuid() != 0)
		return fault_set(f, FAULT_TEMP, 451, 2, 0,
			"cannot deliver as %s: postern does not run as root",
			pw->pw_name);
	if (getgrouplist(pw->pw_name, pw->pw_gid, groups, &n) < 0)
		n = 0;
	if (spool != NULL && stat(spool, &st) == 0 && (st.st_mode & S_IWGRP))
		groups[n++] = st.st_gid;
	if (setgroups((size_t)n, groups) != 0 || setgid(pw->pw_gid) != 0 ||
		setuid(pw->pw_uid) != 0)
		return fault_sys(f, "become %s", pw->pw_name);
	return true;
}

/* ---- .forward ---- */

struct str local_value(struct str name, void *ctx)
{
	const struct local *l = ctx;
	struct str local, domain;

	if (str_eqc(name, "home"))
		return str_from(l->pw->pw_dir);
	if (str_eqc(name, "user"))
		return str_from(l->pw->pw_name);
	if (str_eqc(name, "shell"))
		return str_from(l->pw->pw_shell);
	if (str_eqc(name, "extension"))
		return l->r.extension;
	if (str_eqc(name, "recipient_delimiter"))
		return str_sub(l->conf->recipient_delimiter, 0, 1);
	smtp_address_split(l->r.recipient, &local, &domain);
	if (str_eqc(name, "recipient"))
		return l->r.recipient;
	if (str_eqc(name, "local"))
		return local;
	if (str_eqc(name, "domain"))
		return domain;
	return STR_NONE;
}

/* A descriptor of the file when it may be believed; -1 and no fault when it
 * is not there, or when a stranger could have written it. */
static int open_list(const char *path, bool *failed_r, struct fault *f)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	*failed_r = false;
	if (fd < 0) {
		*failed_r = errno != ENOENT && errno != ENOTDIR;
		fault_sys(f, "open %s", path);
		return -1;
	}
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
		(st.st_mode & S_IWOTH) == 0 && st.st_size <= LIST_BYTES_MAX)
		return fd;
	log_warn("not read: no plain file, too large or writable by everybody",
		log_z("file", path));
	fault_set(f, FAULT_TEMP, 451, 3, 5,
		"%s: no plain file, too large or writable by everybody", path);
	close(fd);
	return -1;
}

/* The user's first .forward there is: a descriptor, or -1 and *ok_r. */
static int open_forward(struct local *l, bool *ok_r, struct fault *f)
{
	struct str rest = l->conf->forward_path;
	struct str item, path;
	const char *why;
	struct stat st;
	bool failed;

	*ok_r = true;
	while (str_present(item = list_item(&rest))) {
		/* One with an extension is for mail that has one. */
		if (l->r.extension.len == 0 &&
			str_isearch(item, STR("extension")) >= 0)
			continue;
		if (!expand(item, local_value, l, l->a, &path, &why) ||
			path.len == 0 || path.ptr[0] != '/')
			continue;
		int fd = open_list(arena_cstr(l->a, path), &failed, f);
		/* A home that cannot be entered has no .forward, either. */
		*ok_r = !failed || f->errnum == EACCES;
		if (!*ok_r)
			return -1;
		if (fd >= 0 && fstat(fd, &st) == 0 &&
			(st.st_uid == l->pw->pw_uid || st.st_uid == 0))
			return fd;
		fd_close(&fd);
	}
	return -1;
}

/* ---- what a user's rights may be used for ---- */

static bool owns_aliases(const struct local *l)
{
	struct strs paths = {0};
	struct stat st;

	maps_paths(l->conf->alias_maps, l->a, &paths);
	for (size_t i = 0; i < paths.n; i++)
		if (stat(arena_cstr(l->a, paths.v[i]), &st) == 0 &&
			st.st_uid == l->pw->pw_uid)
			return true;
	return false;
}

static enum alias_kind kind_of(enum local_action action)
{
	return action == LOCAL_COMMAND ? ALIAS_COMMAND
	       : action == LOCAL_READ  ? ALIAS_INCLUDE
				       : ALIAS_FILE;
}

static bool stands_in_forward(struct local *l)
{
	struct file_map map CLEANUP(file_unmap) = {0};
	struct alias_target target;
	struct fault f;
	bool ok;

	int fd CLEANUP(fd_close) = open_forward(l, &ok, &f);
	if (fd < 0 || !file_map_fd(fd, &map, &f))
		return false;
	struct str rest = alias_lines_join(map.bytes, l->a);
	while (alias_target_next(&rest, l->a, &target))
		if (target.kind == kind_of(l->r.action) &&
			str_eq(target.value, l->r.target))
			return true;
	return false;
}

/* ---- actions ---- */

/* home_mailbox is always below the home, also with a leading slash. */
static struct str mailbox_path(struct local *l)
{
	const struct conf *c = l->conf;
	struct str spool = c->mail_spool_directory;

	if (c->home_mailbox.len > 0)
		return arena_printf(l->a, "%s/%.*s", l->pw->pw_dir,
			STR_ARG(c->home_mailbox));
	return arena_printf(l->a, "%.*s/%s%s", STR_ARG(spool), l->pw->pw_name,
		str_ends(spool, "/") ? "/" : "");
}

static bool to_mailbox(struct local *l, int *fd_r, struct fault *f)
{
	struct str command =
		str_present(l->by_user) ? l->by_user : l->conf->mailbox_command;
	bool ok;

	if (l->r.action != LOCAL_MAILBOX_ONLY) {
		*fd_r = open_forward(l, &ok, f);
		if (*fd_r >= 0 || !ok || l->r.action == LOCAL_FORWARD)
			return ok;
	}
	if (command.len > 0)
		return local_command(l, command, f);
	return local_file(&l->r, mailbox_path(l), l->message,
		(uint64_t)l->conf->mailbox_size_limit, f);
}

static bool to_target(struct local *l, bool trusted, int *fd_r, struct fault *f)
{
	struct str target = l->r.target;
	bool failed;

	if (!trusted && !stands_in_forward(l))
		return fault_set(f, FAULT_TEMP, 451, 3, 5,
			"%.*s does not stand in the .forward of %s",
			STR_ARG(target), l->pw->pw_name);
	if (l->r.action == LOCAL_COMMAND)
		return local_command(l, target, f);
	if (l->r.action == LOCAL_FILE)
		return local_file(&l->r, target, l->message,
			(uint64_t)l->conf->mailbox_size_limit, f);
	*fd_r = open_list(arena_cstr(l->a, target), &failed, f);
	return *fd_r >= 0;
}

/* mailbox_command_maps: not mailbox's to say. */
static bool find_command(struct local *l, struct fault *f)
{
	const struct conf *c = l->conf;
	struct problems p = {.a = l->a};
	const struct table_env env = {0};

	l->by_user = STR_NONE;
	if (c->mailbox_command_maps.len == 0)
		return true;
	struct maps *maps = maps_open(tables_new(&env), c,
		"mailbox_command_maps", c->mailbox_command_maps, 0, &p);
	/* What is not there now, was there at the start. */
	if (problems_count(&p, PROBLEM_ERROR) > 0)
		return fault_set(
			f, FAULT_TEMP, 451, 3, 5, "%.*s", STR_ARG(p.v[0].what));
	return maps_lookup(maps, str_from(l->pw->pw_name), l->a, &l->by_user,
		       f) != TABLE_ERROR;
}

static bool deliver(struct local *l, int *fd_r, struct fault *f)
{
	bool own = str_present(l->r.user);
	struct str name = own ? l->r.user : l->conf->default_privs;
	bool mailbox = l->r.action == LOCAL_MAILBOX ||
		       l->r.action == LOCAL_MAILBOX_ONLY ||
		       l->r.action == LOCAL_FORWARD;
	bool spool = mailbox && l->conf->home_mailbox.len == 0;

	l->pw = getpwnam(arena_cstr(l->a, name));
	if (l->pw == NULL)
		return fault_set(f, FAULT_TEMP, 451, 2, 0,
			"no account %.*s any more", STR_ARG(name));
	/* Asked as root: later the file may be out of sight. */
	bool trusted = !own || owns_aliases(l);
	if (mailbox && !find_command(l, f))
		return false;
	if (!local_become(l->pw,
		    spool ? arena_cstr(l->a, l->conf->mail_spool_directory)
			  : NULL,
		    f))
		return false;
	if (own && l->conf->require_home_directory &&
		access(l->pw->pw_dir, X_OK) != 0)
		return fault_set(f, FAULT_TEMP, 451, 2, 0,
			"the home of %s is not there", l->pw->pw_name);
	return mailbox ? to_mailbox(l, fd_r, f)
		       : to_target(l, trusted, fd_r, f);
}

/* ---- the child ---- */

void master_local(const struct conf *c, const struct services *services,
	int sock, struct str payload, int body)
{
	struct wire w = {.rest = payload};
	struct local l = {
		.conf = c, .services = services, .a = arena_new(SIZE_MAX)};
	struct file_map map CLEANUP(file_unmap) = {0};
	struct buf b CLEANUP(buf_fini);
	struct fault f;
	int list CLEANUP(fd_close) = -1;

	alarm(CHILD_SECONDS);
	bool ok = local_request_read(&w, l.a, &l.r) ||
		  fault_set(&f, FAULT_TEMP, 451, 3, 0, "bad request");
	ok = ok && file_map_fd(body, &map, &f);
	l.message = map.bytes;
	ok = ok && (l.r.action == LOCAL_PIPE ? local_pipe(&l, &f)
					     : deliver(&l, &list, &f));
	buf_init(&b, 4096);
	if (!ok)
		ipc_put_fault(&b, &f);
	ipc_send(sock, ok ? IPC_OK : IPC_NO, buf_str(&b), list, &f);
	arena_free(l.a);
}
