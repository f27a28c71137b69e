/* SPDX-License-Identifier: ISC */
#ifndef CMD_MAILBOX_FEED_H
#define CMD_MAILBOX_FEED_H

/*
 * feed: messages for one account of a running server, some hundred in one
 * transaction.  What is in memory is one of those, never a mailbox.
 *
 * What cannot be read is said, counted and left out; a fault of the server
 * ends the feed.
 */

#include <dirent.h>

#include "codec/mail/marks.h"
#include "conf/conf.h"
#include "ipc/messages.h"

struct feed {
	const struct conf *conf;
	struct arena *a; /* of the batch */
	struct ipc_client *server;
	struct import_request request;
	struct import_message *v;
	struct buf bytes;
	size_t taken; /* of these, by the messages of the batch */
	struct buf keywords; /* scratch */
	struct strs subscribed; /* mailboxes that clients show */
	bool all_subscribed; /* nobody says which are */
	struct arena *names;
	unsigned long long mailboxes, messages, there, new_uids, unread;
};

bool feed_begin(struct feed *d, const struct conf *conf, const char *address,
	struct fault *f);
void feed_end(struct feed *d); /* also after a fault */

/* From here on into this mailbox.  The name is mended. */
bool feed_mailbox(
	struct feed *d, struct str name, uint32_t uidvalidity, struct fault *f);
struct feed_message {
	struct marks marks;
	struct strs keywords;
	int64_t received;
	uint32_t uid; /* 0: not known */
	struct str identity; /* of the message in its mailbox, at its source */
};
/* Lines end in CRLF then.  Unpacked, where Dovecot's zlib plugin packed it;
 * false: that is broken. */
bool feed_put_text(struct feed *d, struct str bytes);
/* The bytes that were put into d->bytes since the last message; feed_drop:
 * they are none. */
void feed_drop(struct feed *d);
bool feed_message(
	struct feed *d, const struct feed_message *m, struct fault *f);
bool feed_flush(struct feed *d, struct fault *f);
/* The file that Dovecot has in dir, where there is one: else all mailboxes are
 * subscribed. */
bool feed_subscriptions(
	struct feed *d, const char *dir, char separator, struct fault *f);

/* Of what lies in a user's folders: a link that leads elsewhere is none of it,
 * for root may read what its owner may not.  -1 with errno. */
int feed_open(const char *path);
DIR *feed_opendir(const char *path); /* NULL with errno; ENOTDIR: a link */
bool feed_is_directory(const char *path);
/* All of dir/name, behind what out has; one that is not there is empty, and so
 * is a link, which is said. */
bool feed_read(struct feed *d, const char *dir, const char *name,
	struct buf *out, struct fault *f);

/* "left out: what" */
void feed_complain(struct feed *d, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* ---- where they come from ---- */

/* Everything below path, whatever it is: import.c */
bool import_maildir(struct feed *d, const char *path, struct fault *f);
bool import_dbox(struct feed *d, const char *path, struct fault *f);
/* name: of the mailbox; absent: by the file's name. */
bool import_mbox(
	struct feed *d, const char *path, struct str name, struct fault *f);

#endif
