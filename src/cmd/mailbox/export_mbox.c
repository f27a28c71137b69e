/* SPDX-License-Identifier: ISC */
/* mbox files, one for each mailbox: DIRECTORY/INBOX.mbox, DIRECTORY/A/B.mbox.
 * Made again, they get what is new: it goes on behind the last UID, and the
 * last message is written again, as it may be torn. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/mailbox/mailbox.h"
#include "codec/imap/mailbox_name.h"
#include "codec/mail/header.h"
#include "codec/mail/mbox.h"
#include "store/message.h"
#include "sys/file.h"

enum { MESSAGE_MAX = 1 << 30 };

struct file {
	struct target *t;
	const struct store_mailbox *box;
	int fd;
	bool begun;
	struct buf text;
};

/* Where the last message begins, and its UID. */
static bool find_end(
	int fd, struct arena *a, uint32_t *uid_r, size_t *at_r, struct fault *f)
{
	struct file_map map CLEANUP(file_unmap) = {0};
	struct buf text CLEANUP(buf_fini);
	struct mbox_message m;
	struct mbox_status s;

	*uid_r = 1;
	*at_r = 0;
	buf_init(&text, MESSAGE_MAX);
	if (!file_map_fd(fd, &map, f))
		return false;
	struct str rest = map.bytes, last = STR_NONE;
	for (size_t at = 0; mbox_next(&rest, &m);
		at = map.bytes.len - rest.len) {
		last = m.bytes;
		*at_r = at;
	}
	if (!str_present(last))
		return true;
	mbox_unpack(last, a, &text, &s);
	*uid_r = s.uid;
	return s.uid > 0 ||
	       fault_set(f, FAULT_PERM, 0, 3, 3, "is no mbox of ours");
}

static bool take_row(const struct row *r, void *ctx, struct fault *f)
{
	struct file *x = ctx;
	struct store_message m;
	struct str head, body;

	if (!read_message(x->t, x->box->id, r, &m))
		return true;
	mail_split_blank(m.bytes, &head, &body);
	struct str sender = str_trim(mail_field_value(head, "Return-Path"));
	bool plain = sender.len > 2 && str_starts(sender, "<") &&
		     str_ends(sender, ">") && str_find(sender, ' ') < 0 &&
		     str_find(sender, '\n') < 0;
	struct mbox_entry e = {.message = m.bytes,
		.sender = plain ? str_sub(sender, 1, sender.len - 2) : STR(""),
		.received = r->received,
		.status = {.marks = r->marks,
			.keywords = r->keywords,
			.uid = r->uid,
			.uidvalidity = x->begun ? 0 : x->box->uidvalidity}};
	buf_reset(&x->text);
	mbox_pack(&e, &x->text);
	store_message_fini(&m);
	x->begun = true;
	x->t->messages++;
	return !buf_over(&x->text) ? file_write(x->fd, buf_str(&x->text), f)
				   : fault_set(f, FAULT_PERM, 0, 3, 4,
					     "UID %u is too large", r->uid);
}

static bool append(struct file *x, const char *path, struct fault *f)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	uint32_t uid;
	size_t at;

	if (!find_end(x->fd, a, &uid, &at, f))
		return false;
	x->begun = at > 0;
	if (ftruncate(x->fd, (off_t)at) != 0 ||
		lseek(x->fd, (off_t)at, SEEK_SET) < 0)
		return fault_sys(f, "%s", path);
	return each_row(x->t, x->box->id, uid, take_row, x, f);
}

bool export_mbox(
	struct target *t, const struct store_mailbox *box, struct fault *f)
{
	struct file x = {.t = t, .box = box};
	char path[4096], above[4096];

	if (!imap_mailbox_name_valid(box->name))
		return fault_set(f, FAULT_PERM, 0, 3, 3,
			"%.*s cannot be the name of a file",
			STR_ARG(box->name));
	snprintf(path, sizeof(path), "%s/%.*s.mbox", t->path,
		STR_ARG(box->name));
	snprintf(above, sizeof(above), "%s", path);
	*strrchr(above, '/') = '\0';
	if (!dir_make(above, 0700, f))
		return false;
	x.fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (x.fd < 0)
		return fault_sys(f, "create %s", path);
	buf_init(&x.text, MESSAGE_MAX);
	bool ok = append(&x, path, f);
	buf_fini(&x.text);
	close(x.fd);
	return ok;
}
