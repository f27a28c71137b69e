/* SPDX-License-Identifier: ISC */
/* postern mailbox import and restore: mail from elsewhere into an account of
 * the running server. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "cmd/mailbox/feed.h"
#include "cmd/mailbox/mailbox.h"
#include "store/message.h"

static int end(struct feed *d, bool ok, const struct fault *f)
{
	printf("%llu mailboxes, %llu messages, %llu were there already\n",
		d->mailboxes, d->messages, d->there);
	if (d->new_uids > 0)
		printf("%llu have new UIDs\n", d->new_uids);
	if (d->unread > 0)
		printf("%llu were left out\n", d->unread);
	int rc = !ok ? mailbox_failed(f) : d->unread > 0 ? EX_DATAERR : EX_OK;
	feed_end(d);
	return rc;
}

static bool has_directory(const char *path, const char *sub)
{
	char whole[4200];

	snprintf(whole, sizeof(whole), "%s/%s", path, sub);
	return feed_is_directory(whole);
}

static bool import_from(
	struct feed *d, const char *path, const char *mailbox, struct fault *f)
{
	bool dbox = has_directory(path, "mailboxes");
	bool maildir = has_directory(path, "cur");

	if (mailbox != NULL && (dbox || maildir || feed_is_directory(path)))
		return fault_set(f, FAULT_PERM, 0, 3, 3,
			"--mailbox is for one mbox file");
	if (dbox)
		return import_dbox(d, path, f);
	return maildir ? import_maildir(d, path, f)
		       : import_mbox(d, path, str_from(mailbox), f);
}

static bool import(struct feed *d, const struct mailbox_cmd *m, struct fault *f)
{
	/* What was asked for may be a link; what is below may not. */
	char *path = realpath(m->args[1], NULL);

	if (path == NULL)
		return fault_sys(f, "%s", m->args[1]);
	bool ok = import_from(d, path, m->mailbox, f);
	free(path);
	return ok;
}

int mailbox_cmd_import(const struct mailbox_cmd *m)
{
	struct feed d;
	struct fault f;
	bool ok = feed_begin(&d, m->conf, m->args[0], &f) && import(&d, m, &f);

	return end(&d, ok, &f);
}

/* ---- restore ---- */

struct restoring {
	struct feed *feed;
	struct target t;
	const struct store_mailbox *box;
};

static bool take_row(const struct row *r, void *ctx, struct fault *f)
{
	struct restoring *x = ctx;
	struct store_message m;
	struct feed_message one = {.marks = r->marks,
		.keywords = r->keywords,
		.received = r->received,
		.uid = r->uid,
		.identity = arena_printf(x->feed->a, "backup %u %u",
			x->box->uidvalidity, r->uid)};

	if (!read_message(&x->t, x->box->id, r, &m)) {
		x->feed->unread++;
		return true;
	}
	buf_put(&x->feed->bytes, m.bytes);
	store_message_fini(&m);
	return feed_message(x->feed, &one, f);
}

static bool restore(struct feed *d, struct target *t, struct fault *f)
{
	struct store_mailbox *v;
	size_t n;

	if (!store_mailboxes(t->store, t->account, d->names, &v, &n, NULL, f))
		return false;
	if (n == 0)
		return fault_set(f, FAULT_PERM, 0, 1, 1,
			"the backup has nothing of that account");
	for (size_t i = 0; i < n; i++) {
		struct restoring x = {.feed = d, .t = *t, .box = &v[i]};

		d->all_subscribed = v[i].subscribed;
		if (!feed_mailbox(d, v[i].name, v[i].uidvalidity, f) ||
			!each_row(t, v[i].id, 1, take_row, &x, f) ||
			!feed_flush(d, f))
			return false;
	}
	return true;
}

int mailbox_cmd_restore(const struct mailbox_cmd *m)
{
	struct target t = {.path = m->args[1]};
	struct feed d = {0};
	struct fault f;

	if (!mailbox_account(m->conf, m->args[0], &t.account, &f) ||
		(t.store = store_open(m->args[1],
			 &(struct store_settings){.only_read = true}, &f)) ==
			NULL)
		return mailbox_failed(&f);
	bool ok =
		feed_begin(&d, m->conf, m->args[0], &f) && restore(&d, &t, &f);
	store_close(t.store);
	return end(&d, ok, &f);
}
