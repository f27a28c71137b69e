/* SPDX-License-Identifier: ISC */
/* A Maildir with its folders: Maildir++, or directories (Dovecot's LAYOUT=fs).
 * UIDs and keywords where Dovecot left them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sorted.h"
#include "cmd/mailbox/feed.h"
#include "codec/mail/maildir.h"

enum { LIST_MAX = 1 << 30 };

struct entry {
	struct str unique;
	struct str name; /* "cur/..." */
	uint32_t uid; /* 0: not known */
};

struct folder {
	struct feed *feed;
	const char *path;
	struct arena *a;
	struct entry *v;
	size_t n, cap;
	uint32_t uidvalidity;
	struct str keywords[MAILDIR_KEYWORDS];
};

static void join(char *out, size_t len, const char *a, const char *b)
{
	snprintf(out, len, "%s/%s", a, b);
}

/* ---- the names ---- */

static bool list(struct folder *x, const char *sub, struct fault *f)
{
	char path[4096];

	join(path, sizeof(path), x->path, sub);
	DIR *d = feed_opendir(path);
	if (d == NULL && (errno == ENOTDIR || errno == ELOOP)) {
		feed_complain(x->feed, "%s: no directory", path);
		return true;
	}
	if (d == NULL)
		return errno == ENOENT || fault_sys(f, "open %s", path);
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		if (e->d_name[0] == '.')
			continue;
		x->v = arena_grown(x->a, x->v, x->n, &x->cap, sizeof(*x->v));
		struct entry *to = &x->v[x->n++];
		to->name = arena_printf(x->a, "%s/%s", sub, e->d_name);
		to->unique = maildir_name_parse(
			str_from_at(to->name, strlen(sub) + 1))
				     .unique;
	}
	closedir(d);
	return true;
}

static int by_unique(const void *a, const void *b)
{
	return str_cmp(((const struct entry *)a)->unique,
		((const struct entry *)b)->unique);
}

/* What has a UID by it, the rest behind, oldest first. */
static int by_uid(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->uid != y->uid)
		return x->uid - 1 < y->uid - 1 ? -1 : 1;
	return str_cmp(x->unique, y->unique);
}

static bool take_uids(struct folder *x, struct fault *f)
{
	struct buf text CLEANUP(buf_fini);
	struct entry key;
	uint32_t uid;

	buf_init(&text, LIST_MAX);
	if (!feed_read(x->feed, x->path, "dovecot-uidlist", &text, f))
		return false;
	qsort(x->v, x->n, sizeof(*x->v), by_unique);
	struct str rest = buf_str(&text);
	if (text.len == 0 || !maildir_uidlist_begin(&rest, &x->uidvalidity))
		return true;
	while (maildir_uidlist_next(&rest, &uid, &key.unique)) {
		size_t i = sorted_lower(
			&key, x->v, x->n, sizeof(*x->v), by_unique);

		if (i < x->n && str_eq(x->v[i].unique, key.unique))
			x->v[i].uid = uid;
	}
	qsort(x->v, x->n, sizeof(*x->v), by_uid);
	return true;
}

static bool take_keywords(struct folder *x, struct fault *f)
{
	struct buf text CLEANUP(buf_fini);

	buf_init(&text, 1 << 20);
	if (!feed_read(x->feed, x->path, "dovecot-keywords", &text, f))
		return false;
	maildir_keywords_parse(arena_str(x->a, buf_str(&text)), x->keywords);
	return true;
}

/* ---- the messages ---- */

static bool take_one(struct folder *x, const struct entry *e, struct fault *f)
{
	struct maildir_name name = maildir_name_parse(
		str_from_at(e->name, (size_t)str_find(e->name, '/') + 1));
	struct feed_message m = {
		.marks = name.marks, .uid = e->uid, .identity = e->unique};
	struct file_map map CLEANUP(file_unmap) = {0};
	struct fault why;
	struct stat st;
	char path[8192];

	join(path, sizeof(path), x->path, e->name.ptr);
	int fd CLEANUP(fd_close) = feed_open(path);
	if (fd < 0 || fstat(fd, &st) != 0) {
		feed_complain(x->feed, "%s: %s", path, strerror(errno));
		return true;
	}
	if (!S_ISREG(st.st_mode) || !file_map_fd(fd, &map, &why) ||
		!feed_put_text(x->feed, map.bytes)) {
		feed_drop(x->feed);
		feed_complain(x->feed, "%s: cannot be read", path);
		return true;
	}
	m.received = st.st_mtime;
	/* Dovecot leaves the P of others where it is. */
	for (int k = 0; k < MAILDIR_KEYWORDS; k++)
		if (str_ieqc(x->keywords[k], "$Forwarded"))
			m.marks.forwarded = false;
	for (int k = 0; k < MAILDIR_KEYWORDS; k++)
		if ((name.keywords & 1u << k) != 0 &&
			str_present(x->keywords[k]))
			strs_add(&m.keywords, x->feed->a, x->keywords[k]);
	return feed_message(x->feed, &m, f);
}

static bool take_folder(
	struct feed *d, const char *path, struct str mailbox, struct fault *f)
{
	struct folder x = {.feed = d, .path = path, .a = arena_new(SIZE_MAX)};
	bool ok = list(&x, "cur", f) && list(&x, "new", f) &&
		  take_uids(&x, f) && take_keywords(&x, f) &&
		  feed_mailbox(d, mailbox, x.uidvalidity, f);

	for (size_t i = 0; ok && i < x.n; i++)
		ok = take_one(&x, &x.v[i], f);
	ok = ok && feed_flush(d, f);
	arena_free(x.a);
	return ok;
}

/* ---- the folders ---- */

static bool take_directories(
	struct feed *d, const char *path, struct str above, struct fault *f);

static bool take_directory(struct feed *d, const char *path, const char *name,
	struct str above, struct fault *f)
{
	char sub[4096], cur[4200];
	struct str mailbox;

	join(sub, sizeof(sub), path, name);
	join(cur, sizeof(cur), sub, "cur");
	if (!feed_is_directory(sub))
		return true;
	if (name[0] == '.') {
		return above.len > 0 || !feed_is_directory(cur) ||
		       !maildir_folder_parse(
			       str_from(name), d->names, &mailbox) ||
		       take_folder(d, sub, mailbox, f);
	}
	mailbox = above.len > 0 ? arena_printf(d->names, "%.*s/%s",
					  STR_ARG(above), name)
				: arena_str(d->names, str_from(name));
	return (!feed_is_directory(cur) || take_folder(d, sub, mailbox, f)) &&
	       take_directories(d, sub, mailbox, f);
}

static bool take_directories(
	struct feed *d, const char *path, struct str above, struct fault *f)
{
	static const char *const own[] = {".", "..", "cur", "new", "tmp"};
	DIR *dir = feed_opendir(path);
	bool ok = true;

	if (dir == NULL)
		return fault_sys(f, "open %s", path);
	for (struct dirent *e; ok && (e = readdir(dir)) != NULL;) {
		bool skip = false;

		for (size_t i = 0; i < ARRAY_LEN(own); i++)
			skip |= strcmp(e->d_name, own[i]) == 0;
		ok = skip || take_directory(d, path, e->d_name, above, f);
	}
	closedir(dir);
	return ok;
}

bool import_maildir(struct feed *d, const char *path, struct fault *f)
{
	if (!feed_subscriptions(d, path, '.', f))
		return false;
	return take_folder(d, path, STR("INBOX"), f) &&
	       take_directories(d, path, STR(""), f);
}
