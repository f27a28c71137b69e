/* SPDX-License-Identifier: ISC */
#ifndef CMD_MAILBOX_MAILBOX_H
#define CMD_MAILBOX_MAILBOX_H

/* postern mailbox: its commands.  Each returns an exit code of sysexits.h. */

#include "cmd/cmd.h"
#include "codec/mail/marks.h"
#include "store/store.h"

struct mailbox_cmd {
	struct cmd *c;
	const struct conf *conf;
	const char *dir; /* of the store */
	const char *args[2]; /* NULL without */
	const char *mailbox; /* --mailbox */
	const char *format; /* --format */
};

int mailbox_failed(const struct fault *f);
/* The id of an account; the fault says that there is none. */
bool mailbox_account(const struct conf *conf, const char *address,
	int64_t *id_r, struct fault *f);

/* ADDRESS and a path */
int mailbox_cmd_import(const struct mailbox_cmd *m);
int mailbox_cmd_export(const struct mailbox_cmd *m);
int mailbox_cmd_restore(const struct mailbox_cmd *m);

/* ---- export.c: into files ---- */

struct target {
	struct store *store;
	int64_t account;
	const char *path;
	unsigned long long mailboxes, messages, unread;
};
/* The rows of a mailbox behind a UID, some at a time, without holding the
 * store; ended by fn or by a fault. */
struct row {
	uint32_t uid;
	struct marks marks;
	int64_t received;
	struct strs keywords;
};
typedef bool row_f(const struct row *r, void *ctx, struct fault *f);
bool each_row(const struct target *t, int64_t mailbox, uint32_t from_uid,
	row_f *fn, void *ctx, struct fault *f);
/* Says what cannot be read, and goes on. */
bool read_message(struct target *t, int64_t mailbox, const struct row *r,
	struct store_message *m_r);

bool export_maildir(
	struct target *t, const struct store_mailbox *box, struct fault *f);
/* All that is there is exported: subscriptions. */
bool export_maildir_end(
	struct target *t, const struct strs *subscribed, struct fault *f);
bool export_mbox(
	struct target *t, const struct store_mailbox *box, struct fault *f);

#endif
