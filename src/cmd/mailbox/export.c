/* SPDX-License-Identifier: ISC */
/* postern mailbox export: an account's mail in files, beside a running server
 * or without one. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "cmd/mailbox/mailbox.h"
#include "store/message.h"
#include "sys/file.h"

enum { ROWS = 500 };

/* ---- rows ---- */

struct rows {
	struct arena *a;
	struct row v[ROWS];
	size_t n;
};

static struct marks marks_of(uint32_t flags)
{
	return (struct marks){.seen = (flags & FLAG_SEEN) != 0,
		.answered = (flags & FLAG_ANSWERED) != 0,
		.flagged = (flags & FLAG_FLAGGED) != 0,
		.deleted = (flags & FLAG_DELETED) != 0,
		.draft = (flags & FLAG_DRAFT) != 0};
}

static bool take_row(const struct store_row *row, void *ctx)
{
	struct rows *rows = ctx;
	struct row *r = &rows->v[rows->n++];
	struct str words = row->keywords, word;

	*r = (struct row){.uid = row->uid,
		.marks = marks_of(row->flags),
		.received = row->received};
	while (str_present(word = str_word(&words, " "))) {
		if (str_ieqc(word, "$Forwarded"))
			r->marks.forwarded = true;
		else
			strs_add(&r->keywords, rows->a,
				arena_str(rows->a, word));
	}
	return rows->n < ROWS;
}

bool each_row(const struct target *t, int64_t mailbox, uint32_t from_uid,
	row_f *fn, void *ctx, struct fault *f)
{
	struct rows rows = {.a = arena_new(SIZE_MAX)};
	bool ok = true;

	do {
		arena_reset(rows.a);
		rows.n = 0;
		ok = store_rows(t->store, t->account, mailbox, 0, from_uid,
			take_row, &rows, f);
		for (size_t i = 0; ok && i < rows.n; i++)
			ok = fn(&rows.v[i], ctx, f);
		if (rows.n > 0)
			from_uid = rows.v[rows.n - 1].uid + 1;
	} while (ok && rows.n == ROWS);
	arena_free(rows.a);
	return ok;
}

bool read_message(struct target *t, int64_t mailbox, const struct row *r,
	struct store_message *m_r)
{
	struct fault f;

	if (store_message(t->store, t->account, mailbox, r->uid, STORE_BYTES,
		    m_r, &f))
		return true;
	if (f.class == FAULT_PERM)
		return false; /* expunged meanwhile */
	t->unread++;
	fprintf(stderr, "left out: UID %u: %s\n", r->uid, f.text);
	return false;
}

/* ---- the account ---- */

static bool export_all(struct target *t, bool maildir, struct fault *f)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct strs subscribed;
	struct store_mailbox *v;
	size_t n;

	if (!dir_make(t->path, 0700, f) ||
		!store_mailboxes(
			t->store, t->account, a, &v, &n, &subscribed, f))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!(maildir ? export_maildir : export_mbox)(t, &v[i], f))
			return false;
		t->mailboxes++;
	}
	if (maildir && !export_maildir_end(t, &subscribed, f))
		return false;
	int fd CLEANUP(fd_close) = open(t->path, O_RDONLY | O_CLOEXEC);
	return (fd >= 0 && syncfs(fd) == 0) || fault_sys(f, "%s", t->path);
}

int mailbox_cmd_export(const struct mailbox_cmd *m)
{
	struct target t = {.path = m->args[1]};
	const char *format = m->format != NULL ? m->format : "maildir";
	bool maildir = strcmp(format, "maildir") == 0;
	struct fault f;

	if (!maildir && strcmp(format, "mbox") != 0)
		return cmd_usage(m->c, "--format is maildir or mbox");
	if (!mailbox_account(m->conf, m->args[0], &t.account, &f) ||
		(t.store = store_open(m->dir,
			 &(struct store_settings){.only_read = true}, &f)) ==
			NULL)
		return mailbox_failed(&f);
	bool ok = export_all(&t, maildir, &f);
	store_close(t.store);
	printf("%llu mailboxes, %llu messages written\n", t.mailboxes,
		t.messages);
	if (!ok)
		return mailbox_failed(&f);
	return t.unread > 0 ? EX_DATAERR : EX_OK;
}
