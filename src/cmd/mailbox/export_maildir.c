/* SPDX-License-Identifier: ISC */
/* A Maildir++ that Dovecot, Courier and mutt take: UIDs in dovecot-uidlist,
 * keywords in dovecot-keywords.  Made again, it gets what is new and the flags
 * as they are now; what was expunged since stays. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/map.h"
#include "cmd/mailbox/mailbox.h"
#include "codec/mail/maildir.h"
#include "store/message.h"
#include "sys/file.h"

enum { LIST_MAX = 1 << 30 };

struct folder {
	struct target *t;
	const struct store_mailbox *box;
	struct arena *a;
	char path[4096];
	struct map *there; /* unique part to the whole name below cur */
	struct str keywords[MAILDIR_KEYWORDS];
	struct buf uidlist, name, text;
	bool too_many; /* keywords */
};

/* ---- what is there ---- */

static bool make_folder(struct folder *x, struct fault *f)
{
	static const char *const subs[] = {"cur", "new", "tmp"};
	char path[4200];

	for (size_t i = 0; i < ARRAY_LEN(subs); i++) {
		snprintf(path, sizeof(path), "%s/%s", x->path, subs[i]);
		if (!dir_make(path, 0700, f))
			return false;
	}
	snprintf(path, sizeof(path), "%s/maildirfolder", x->path);
	return str_eqc(x->box->name, "INBOX") || access(path, F_OK) == 0 ||
	       file_replace(path, STR(""), 0600, f);
}

static bool list(struct folder *x, struct fault *f)
{
	char path[4200];

	snprintf(path, sizeof(path), "%s/cur", x->path);
	DIR *d = opendir(path);
	if (d == NULL)
		return fault_sys(f, "open %s", path);
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		struct str name = arena_str(x->a, str_from(e->d_name));

		map_set(x->there, maildir_name_parse(name).unique,
			(void *)(uintptr_t)name.ptr);
	}
	closedir(d);
	return true;
}

static bool read_keywords(struct folder *x, struct fault *f)
{
	struct buf text CLEANUP(buf_fini);
	char path[4200];

	buf_init(&text, 1 << 20);
	snprintf(path, sizeof(path), "%s/dovecot-keywords", x->path);
	if (access(path, F_OK) == 0 && !file_read(path, 1 << 20, &text, f))
		return false;
	maildir_keywords_parse(arena_str(x->a, buf_str(&text)), x->keywords);
	return true;
}

static bool write_file(const struct folder *x, const char *name,
	const struct buf *text, struct fault *f)
{
	char path[4200];

	snprintf(path, sizeof(path), "%s/%s", x->path, name);
	return file_replace(path, buf_str(text), 0600, f);
}

static bool write_keywords(struct folder *x, struct fault *f)
{
	struct buf text CLEANUP(buf_fini);

	buf_init(&text, 1 << 20);
	for (int k = 0; k < MAILDIR_KEYWORDS; k++)
		if (str_present(x->keywords[k]))
			buf_putf(
				&text, "%d %.*s\n", k, STR_ARG(x->keywords[k]));
	return text.len == 0 || write_file(x, "dovecot-keywords", &text, f);
}

/* ---- one message ---- */

static uint32_t letter_of(struct folder *x, struct str keyword)
{
	for (int k = 0; k < MAILDIR_KEYWORDS; k++) {
		if (!str_present(x->keywords[k]))
			x->keywords[k] = arena_str(x->a, keyword);
		if (str_eq(x->keywords[k], keyword))
			return 1u << k;
	}
	x->too_many = true;
	return 0;
}

/* "1732644000.U5V1732.postern:2,S" */
static void put_name(struct folder *x, const struct row *r)
{
	/* Dovecot knows no P. */
	uint32_t letters =
		r->marks.forwarded ? letter_of(x, STR("$Forwarded")) : 0;

	for (size_t i = 0; i < r->keywords.n; i++)
		letters |= letter_of(x, r->keywords.v[i]);
	buf_reset(&x->name);
	buf_putf(&x->name, "%lld.U%uV%u.postern", (long long)r->received,
		r->uid, x->box->uidvalidity);
	maildir_name_put(&r->marks, letters, &x->name);
}

static void put_with_lf(struct str text, struct buf *out)
{
	buf_reset(out);
	while (text.len > 0) {
		ptrdiff_t nl = str_find(text, '\n');
		size_t n = nl < 0 ? text.len : (size_t)nl;
		bool crlf = nl > 0 && text.ptr[n - 1] == '\r';

		buf_put(out, str_sub(text, 0, crlf ? n - 1 : n));
		if (nl >= 0)
			buf_putc(out, '\n');
		text = str_from_at(text, nl < 0 ? n : n + 1);
	}
}

static bool write_message(struct folder *x, const struct row *r,
	const char *from, const char *to, struct fault *f)
{
	const struct timespec times[2] = {
		{.tv_sec = r->received}, {.tv_sec = r->received}};
	struct store_message m;

	if (!read_message(x->t, x->box->id, r, &m))
		return true;
	put_with_lf(m.bytes, &x->text);
	store_message_fini(&m);
	/* What a run before left half, or somebody put there */
	unlink(from);
	int fd CLEANUP(fd_close) =
		open(from, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return fault_sys(f, "create %s", from);
	if (!file_write(fd, buf_str(&x->text), f))
		return false;
	futimens(fd, times);
	x->t->messages++;
	return file_rename(from, to, f);
}

static bool take_row(const struct row *r, void *ctx, struct fault *f)
{
	struct folder *x = ctx;
	char from[4400], to[4400];

	put_name(x, r);
	struct str name = buf_str(&x->name);
	struct str unique = maildir_name_parse(name).unique;
	const char *there = map_get(x->there, unique);
	maildir_uidlist_put(r->uid, unique, &x->uidlist);
	snprintf(to, sizeof(to), "%s/cur/%.*s", x->path, STR_ARG(name));
	if (there == NULL) {
		snprintf(from, sizeof(from), "%s/tmp/%.*s", x->path,
			STR_ARG(unique));
		return write_message(x, r, from, to, f);
	}
	snprintf(from, sizeof(from), "%s/cur/%s", x->path, there);
	return str_eqc(name, there) || file_rename(from, to, f);
}

bool export_maildir(
	struct target *t, const struct store_mailbox *box, struct fault *f)
{
	struct folder x = {.t = t,
		.box = box,
		.a = arena_new(SIZE_MAX),
		.there = map_new()};

	buf_init(&x.uidlist, LIST_MAX);
	buf_init(&x.name, 4096);
	buf_init(&x.text, LIST_MAX);
	if (str_eqc(box->name, "INBOX"))
		snprintf(x.path, sizeof(x.path), "%s", t->path);
	else
		snprintf(x.path, sizeof(x.path), "%s/%.*s", t->path,
			STR_ARG(maildir_folder_name(box->name, x.a)));
	maildir_uidlist_put_begin(box->uidvalidity, box->uidnext, &x.uidlist);
	bool ok = make_folder(&x, f) && list(&x, f) && read_keywords(&x, f) &&
		  each_row(t, box->id, 1, take_row, &x, f) &&
		  write_file(&x, "dovecot-uidlist", &x.uidlist, f) &&
		  write_keywords(&x, f);
	if (x.too_many)
		fprintf(stderr,
			"%.*s: a Maildir holds 26 keywords, the others are "
			"left out\n",
			STR_ARG(box->name));
	buf_fini(&x.uidlist);
	buf_fini(&x.name);
	buf_fini(&x.text);
	map_free(x.there, NULL);
	arena_free(x.a);
	return ok;
}

bool export_maildir_end(
	struct target *t, const struct strs *subscribed, struct fault *f)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct buf text CLEANUP(buf_fini);
	char path[4200];

	buf_init(&text, 1 << 24);
	for (size_t i = 0; i < subscribed->n; i++) {
		struct str name = maildir_folder_name(subscribed->v[i], a);

		buf_putf(&text, "%.*s\n", STR_ARG(str_from_at(name, 1)));
	}
	snprintf(path, sizeof(path), "%s/subscriptions", t->path);
	return file_replace(path, buf_str(&text), 0600, f);
}
