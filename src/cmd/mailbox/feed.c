/* SPDX-License-Identifier: ISC */
#include "cmd/mailbox/feed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/must.h"
#include "cmd/cmd.h"
#include "codec/imap/mailbox_name.h"
#include "codec/mail/maildir.h"
#include "role/role.h"
#include "store/store.h"
#include "sys/gzip.h"
#include "sys/signature.h"

enum {
	BATCH_MESSAGES = 500,
	BATCH_BYTES = 4 << 20,
	MESSAGE_MAX = 1 << 30,
	ANSWER_MS = 600000,
};

bool feed_begin(struct feed *d, const struct conf *conf, const char *address,
	struct fault *f)
{
	*d = (struct feed){.conf = conf,
		.a = arena_new(SIZE_MAX),
		.names = arena_new(SIZE_MAX),
		.v = must_alloc(BATCH_MESSAGES * sizeof(*d->v)),
		.all_subscribed = true};
	d->request.account = arena_lower(d->names, str_from(address));
	buf_init(&d->bytes, MESSAGE_MAX);
	buf_init(&d->keywords, 1 << 20);
	d->server = ipc_client_new(
		role_socket_path(conf, "mailbox", conf->a).ptr, true);
	int sock = ipc_client_take(d->server, f);
	if (sock < 0)
		return fault_set(f, FAULT_TEMP, 0, 3, 2,
			"the server does not run: postern start, then again");
	ipc_client_give(d->server, sock);
	return true;
}

void feed_end(struct feed *d)
{
	ipc_client_free(d->server);
	buf_fini(&d->bytes);
	buf_fini(&d->keywords);
	arena_free(d->a);
	arena_free(d->names);
	free(d->v);
}

void feed_complain(struct feed *d, const char *fmt, ...)
{
	char text[4500];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	d->unread++;
	fprintf(stderr, "left out: ");
	for (const char *p = text; *p != '\0'; p++)
		fputc(*p >= 0x20 && *p != 0x7f ? *p : '?', stderr);
	fputc('\n', stderr);
}

int feed_open(const char *path)
{
	return open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
}

DIR *feed_opendir(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_DIRECTORY);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;

	if (fd >= 0 && d == NULL)
		close(fd);
	return d;
}

bool feed_read(struct feed *d, const char *dir, const char *name,
	struct buf *out, struct fault *f)
{
	char path[4300];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	int fd CLEANUP(fd_close) = feed_open(path);
	if (fd >= 0)
		return file_read_fd(fd, out->max, out, f);
	if (errno == ELOOP)
		feed_complain(d, "%s: a link", path);
	else if (errno != ENOENT)
		return fault_sys(f, "open %s", path);
	return true;
}

bool feed_is_directory(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* ---- batches ---- */

static bool call(struct feed *d, int fd, struct fault *f)
{
	struct ipc_frame reply CLEANUP(ipc_frame_fini);
	struct buf b CLEANUP(buf_fini);

	ipc_frame_init(&reply);
	buf_init(&b, IPC_PAYLOAD_MAX);
	import_request_put(&b, &d->request);
	if (!ipc_call(d->server, IPC_IMPORT, buf_str(&b), fd, ANSWER_MS, &reply,
		    f))
		return false;
	struct wire w = {.rest = buf_str(&reply.payload)};
	uint32_t added = wire_u32(&w), same_uid = wire_u32(&w);
	d->messages += added;
	d->there += d->request.n - added;
	d->new_uids += added - same_uid;
	return true;
}

bool feed_flush(struct feed *d, struct fault *f)
{
	if (d->request.n == 0)
		return true;
	int fd CLEANUP(fd_close) = file_memory(buf_str(&d->bytes), f);
	if (fd < 0)
		return false;
	d->request.v = d->v;
	bool ok = call(d, fd, f);
	d->request.n = 0;
	buf_reset(&d->bytes);
	d->taken = 0;
	arena_trim(d->a);
	return ok;
}

bool feed_mailbox(
	struct feed *d, struct str name, uint32_t uidvalidity, struct fault *f)
{
	if (!feed_flush(d, f))
		return false;
	d->request.mailbox = imap_mailbox_name_mended(name, d->names);
	d->request.uidvalidity = uidvalidity;
	d->request.subscribe =
		d->all_subscribed || strs_has(&d->subscribed, name);
	d->mailboxes++;
	return call(d, -1, f);
}

bool feed_subscriptions(
	struct feed *d, const char *dir, char separator, struct fault *f)
{
	struct buf text CLEANUP(buf_fini);

	buf_init(&text, 1 << 20);
	if (!feed_read(d, dir, "subscriptions", &text, f))
		return false;
	if (text.len == 0)
		return true;
	maildir_subscriptions_parse(
		buf_str(&text), separator, d->names, &d->subscribed);
	strs_add(&d->subscribed, d->names, STR("INBOX"));
	d->all_subscribed = false;
	return true;
}

/* ---- one message ---- */

static uint32_t flags_of(const struct marks *m)
{
	return (m->seen ? FLAG_SEEN : 0u) | (m->answered ? FLAG_ANSWERED : 0u) |
	       (m->flagged ? FLAG_FLAGGED : 0u) |
	       (m->deleted ? FLAG_DELETED : 0u) | (m->draft ? FLAG_DRAFT : 0u);
}

static struct str keywords_of(struct feed *d, const struct feed_message *m)
{
	buf_reset(&d->keywords);
	if (m->marks.forwarded)
		buf_puts(&d->keywords, "$Forwarded");
	for (size_t i = 0; i < m->keywords.n; i++)
		buf_putf(&d->keywords, "%s%.*s", d->keywords.len > 0 ? " " : "",
			STR_ARG(m->keywords.v[i]));
	return arena_str(d->a, buf_str(&d->keywords));
}

/* The same message of the same mailbox, the same number. */
static uint64_t identity_of(struct feed *d, struct str what)
{
	unsigned char digest[SHA256_BYTES];
	struct sha256 h;
	uint64_t n;

	sha256_init(&h);
	sha256_put(d->request.mailbox.ptr, d->request.mailbox.len, &h);
	sha256_put("\n", 1, &h);
	sha256_put(what.ptr, what.len, &h);
	sha256_done(&h, digest);
	memcpy(&n, digest, sizeof(n));
	return n;
}

static void put_with_crlf(struct str text, struct buf *out)
{
	while (text.len > 0) {
		ptrdiff_t nl = str_find(text, '\n');
		size_t n = nl < 0 ? text.len : (size_t)nl;
		bool cr = n > 0 && text.ptr[n - 1] == '\r';

		buf_put(out, str_sub(text, 0, cr && nl >= 0 ? n - 1 : n));
		buf_puts(out, nl >= 0 ? "\r\n" : "");
		text = str_from_at(text, nl < 0 ? text.len : n + 1);
	}
}

bool feed_put_text(struct feed *d, struct str bytes)
{
	struct buf plain CLEANUP(buf_fini);

	if (!str_starts(bytes, "\x1f\x8b")) {
		put_with_crlf(bytes, &d->bytes);
		return true;
	}
	buf_init(&plain, d->bytes.max);
	if (!gzip_unpack(bytes, &plain))
		return false;
	put_with_crlf(buf_str(&plain), &d->bytes);
	return true;
}

void feed_drop(struct feed *d)
{
	buf_truncate(&d->bytes, d->taken);
	d->bytes.over = false;
}

bool feed_message(struct feed *d, const struct feed_message *m, struct fault *f)
{
	if (buf_over(&d->bytes)) {
		feed_drop(d);
		feed_complain(d, "a message of %.*s is too large",
			STR_ARG(d->request.mailbox));
		return true;
	}
	d->v[d->request.n++] =
		(struct import_message){.flags = flags_of(&m->marks),
			.keywords = keywords_of(d, m),
			.received = m->received,
			.identity = identity_of(d, m->identity),
			.uid = m->uid,
			.size = d->bytes.len - d->taken};
	d->taken = d->bytes.len;
	return (d->request.n < BATCH_MESSAGES && d->bytes.len < BATCH_BYTES) ||
	       feed_flush(d, f);
}
