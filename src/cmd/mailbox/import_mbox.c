/* SPDX-License-Identifier: ISC */
/* mbox files: one, or a tree of them as mail clients keep it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/mailbox/feed.h"
#include "codec/mail/date.h"
#include "codec/mail/header.h"
#include "codec/mail/mbox.h"

/* Without a date in the "From " line: that of the message. */
static int64_t received(const struct mbox_message *m)
{
	struct str head, body;
	int64_t at = 0;
	int zone;

	if (m->dated)
		return m->received;
	mail_split_blank(m->bytes, &head, &body);
	mail_date_parse(mail_field_value(head, "Date"), &at, &zone);
	return at;
}

static bool take_one(struct feed *d, const struct mbox_message *m,
	const struct mbox_status *s, struct fault *f)
{
	struct feed_message one = {.marks = s->marks,
		.keywords = s->keywords,
		.received = received(m),
		.uid = s->uid,
		/* There is no name: twins are one. */
		.identity = str_from_at(buf_str(&d->bytes), d->taken)};

	return feed_message(d, &one, f);
}

static bool take_messages(
	struct feed *d, struct str rest, struct str mailbox, struct fault *f)
{
	struct mbox_message m;
	struct mbox_status s;
	bool begun = false;

	while (mbox_next(&rest, &m)) {
		mbox_unpack(m.bytes, d->a, &d->bytes, &s);
		if (!begun) {
			/* The first says the UIDVALIDITY: the mailbox comes
			 * behind it. */
			feed_drop(d);
			if (!feed_mailbox(d, mailbox, s.uidvalidity, f))
				return false;
			mbox_unpack(m.bytes, d->a, &d->bytes, &s);
			begun = true;
		}
		if (s.pseudo)
			feed_drop(d);
		else if (!take_one(d, &m, &s, f))
			return false;
	}
	return begun ? feed_flush(d, f) : feed_mailbox(d, mailbox, 0, f);
}

static struct str mailbox_of(struct feed *d, struct str above, const char *name)
{
	struct str s = str_from(name);

	if (str_iends(s, STR(".mbox")))
		s.len -= 5;
	if (above.len > 0)
		return arena_printf(
			d->names, "%.*s/%.*s", STR_ARG(above), STR_ARG(s));
	return str_ieqc(s, "inbox") || str_ieqc(s, "mbox")
		       ? STR("INBOX")
		       : arena_str(d->names, s);
}

/* alone: it was asked for.  Beside others, clients keep what is no mbox. */
static bool take_file(struct feed *d, const char *path, struct str mailbox,
	bool alone, struct fault *f)
{
	struct file_map map CLEANUP(file_unmap) = {0};
	struct fault why;
	int fd CLEANUP(fd_close) =
		alone ? open(path, O_RDONLY | O_CLOEXEC) : feed_open(path);

	if (fd < 0) {
		feed_complain(d, "%s: %s", path, strerror(errno));
		return true;
	}
	if (!file_map_fd(fd, &map, &why)) {
		feed_complain(d, "%s: %s", path, why.text);
		return true;
	}
	if (map.bytes.len > 0 && !mbox_begins(map.bytes))
		return !alone || fault_set(f, FAULT_PERM, 0, 3, 3,
					 "%s is no mbox and no Maildir", path);
	return take_messages(d, map.bytes, mailbox, f);
}

static bool take_tree(
	struct feed *d, const char *path, struct str above, struct fault *f)
{
	DIR *dir = feed_opendir(path);
	bool ok = true;

	if (dir == NULL)
		return fault_sys(f, "open %s", path);
	for (struct dirent *e; ok && (e = readdir(dir)) != NULL;) {
		char sub[4096];
		struct stat st;
		struct str name = str_from(e->d_name);

		if (e->d_name[0] == '.')
			continue;
		snprintf(sub, sizeof(sub), "%s/%s", path, e->d_name);
		if (lstat(sub, &st) != 0) {
			feed_complain(d, "%s: %s", sub, strerror(errno));
			continue;
		}
		if (S_ISREG(st.st_mode)) {
			ok = take_file(d, sub, mailbox_of(d, above, e->d_name),
				false, f);
			continue;
		}
		/* Thunderbird: what is below NAME stands in NAME.sbd. */
		if (str_iends(name, STR(".sbd")))
			name.len -= 4;
		if (S_ISDIR(st.st_mode))
			ok = take_tree(d, sub,
				mailbox_of(
					d, above, arena_cstr(d->names, name)),
				f);
	}
	closedir(dir);
	return ok;
}

bool import_mbox(
	struct feed *d, const char *path, struct str name, struct fault *f)
{
	const char *slash = strrchr(path, '/');
	struct stat st;

	if (stat(path, &st) != 0)
		return fault_sys(f, "%s", path);
	if (S_ISDIR(st.st_mode))
		return take_tree(d, path, STR_NONE, f);
	if (!str_present(name))
		name = mailbox_of(
			d, STR_NONE, slash != NULL ? slash + 1 : path);
	return take_file(d, path, name, true, f);
}
