/* SPDX-License-Identifier: ISC */
/* Dovecot's own formats: sdbox (a file for each message) and mdbox (many in
 * one). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/mailbox/feed.h"
#include "codec/imap/utf7.h"
#include "codec/mail/dovecot_index.h"
#include "codec/mail/maildir.h"

enum { INDEX_MAX = 1 << 30 };

struct import {
	struct feed *feed;
	const char *root;
	struct dovecot_index map; /* of mdbox */
	struct arena *a;
	/* the m.N that was read last */
	uint32_t file;
	struct file_map open;
};

/* name: "dovecot.index", "dovecot.map.index"; *there_r: something was read. */
static bool read_index(struct feed *d, const char *dir, const char *name,
	struct dovecot_index *x, bool *there_r, struct fault *f)
{
	static const char *const tails[] = {"", ".log.2", ".log"};
	struct buf text CLEANUP(buf_fini);
	char file[64];

	*there_r = false;
	buf_init(&text, INDEX_MAX);
	for (size_t i = 0; i < ARRAY_LEN(tails); i++) {
		snprintf(file, sizeof(file), "%s%s", name, tails[i]);
		buf_reset(&text);
		if (!feed_read(d, dir, file, &text, f))
			return false;
		if (text.len > 0)
			*there_r |=
				i == 0 ? dovecot_index_table(x, buf_str(&text))
				       : dovecot_index_log(x, buf_str(&text));
	}
	return true;
}

/* ---- one message ---- */

static struct strs keywords_of(const struct dovecot_index *x,
	const struct dovecot_message *m, struct arena *a)
{
	struct strs words = {0};

	for (size_t i = 0; i < x->names.n; i++)
		if ((m->keywords[i / 64] >> i % 64 & 1) != 0)
			strs_add(&words, a, x->names.v[i]);
	return words;
}

static bool take_record(struct import *x, const struct dovecot_index *index,
	const struct dovecot_message *m, struct str file, size_t offset,
	const char *where, struct fault *f)
{
	struct dovecot_record r;
	struct feed_message one = {.marks = m->marks,
		.keywords = keywords_of(index, m, x->feed->a),
		.uid = m->uid,
		.identity = arena_printf(
			x->feed->a, "dbox %u %u", index->uidvalidity, m->uid)};

	if (!dovecot_file_record(file, offset, &r)) {
		feed_complain(x->feed, "%s: UID %u is damaged", where, m->uid);
		return true;
	}
	if (r.parts_elsewhere) {
		feed_complain(x->feed,
			"%s: UID %u has its attachments in other files", where,
			m->uid);
		return true;
	}
	if (!feed_put_text(x->feed, r.bytes)) {
		feed_drop(x->feed);
		feed_complain(
			x->feed, "%s: UID %u does not unpack", where, m->uid);
		return true;
	}
	one.received = r.received;
	return feed_message(x->feed, &one, f);
}

static bool map_file(struct import *x, const char *path, struct file_map *map_r)
{
	struct fault f;
	int fd CLEANUP(fd_close) = feed_open(path);

	if (fd < 0) {
		feed_complain(x->feed, "%s: %s", path, strerror(errno));
		return false;
	}
	if (file_map_fd(fd, map_r, &f))
		return true;
	feed_complain(x->feed, "%s: %s", path, f.text);
	return false;
}

/* sdbox: u.UID beside the index */
static bool take_single(struct import *x, const char *dir,
	const struct dovecot_index *index, const struct dovecot_message *m,
	struct fault *f)
{
	struct file_map map CLEANUP(file_unmap) = {0};
	char path[4300];
	size_t offset;

	snprintf(path, sizeof(path), "%s/u.%u", dir, m->uid);
	if (!map_file(x, path, &map))
		return true;
	if (!dovecot_file_begin(map.bytes, &offset))
		offset = map.bytes.len;
	return take_record(x, index, m, map.bytes, offset, path, f);
}

/* mdbox: where the map says */
static bool take_multiple(struct import *x, const struct dovecot_index *index,
	const struct dovecot_message *m, struct fault *f)
{
	const struct dovecot_message *at =
		dovecot_index_find(&x->map, m->map_uid);
	char path[4300];

	if (at == NULL || at->file == 0) {
		feed_complain(x->feed, "UID %u of %.*s is not in the map",
			m->uid, STR_ARG(x->feed->request.mailbox));
		return true;
	}
	snprintf(path, sizeof(path), "%s/storage/m.%u", x->root, at->file);
	if (x->file != at->file) {
		file_unmap(&x->open);
		x->open = (struct file_map){0};
		x->file = 0;
		if (!map_file(x, path, &x->open))
			return true;
		x->file = at->file;
	}
	return take_record(x, index, m, x->open.bytes, at->offset, path, f);
}

/* ---- mailboxes ---- */

static bool take_mailbox(
	struct import *x, const char *dir, struct str name, struct fault *f)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct dovecot_index index = dovecot_index_new(a);
	bool there, ok = true;

	if (!read_index(x->feed, dir, "dovecot.index", &index, &there, f))
		return false;
	if (!there) {
		feed_complain(x->feed, "%s: there is no index", dir);
		return true;
	}
	if (!feed_mailbox(x->feed, name, index.uidvalidity, f))
		return false;
	for (size_t i = 0; ok && i < index.n; i++) {
		const struct dovecot_message *m = &index.v[i];

		if (m->expunged)
			continue;
		ok = m->map_uid != 0 ? take_multiple(x, &index, m, f)
				     : take_single(x, dir, &index, m, f);
	}
	return ok && feed_flush(x->feed, f);
}

/* mailboxes/A/B/dbox-Mails is A/B; names in modified UTF-7, or UTF-8. */
static bool take_tree(
	struct import *x, const char *path, struct str above, struct fault *f)
{
	struct arena *names = x->feed->names;
	DIR *d = feed_opendir(path);
	bool ok = true;

	if (d == NULL)
		return fault_sys(f, "open %s", path);
	for (struct dirent *e; ok && (e = readdir(d)) != NULL;) {
		char sub[4096], mails[4200];
		struct str name = arena_str(names, str_from(e->d_name)), utf8;

		snprintf(sub, sizeof(sub), "%s/%s", path, e->d_name);
		snprintf(mails, sizeof(mails), "%s/dbox-Mails", sub);
		if (e->d_name[0] == '.' || !feed_is_directory(sub) ||
			str_eqc(name, "dbox-Mails"))
			continue;
		if (imap_utf7_decode(name, names, &utf8))
			name = utf8;
		if (above.len > 0)
			name = arena_printf(names, "%.*s/%.*s", STR_ARG(above),
				STR_ARG(name));
		ok = (!feed_is_directory(mails) ||
			     take_mailbox(x, mails, name, f)) &&
		     take_tree(x, sub, name, f);
	}
	closedir(d);
	return ok;
}

bool import_dbox(struct feed *d, const char *path, struct fault *f)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct import x = {
		.feed = d, .root = path, .a = a, .map = dovecot_index_new(a)};
	char sub[4200];
	bool there;

	snprintf(sub, sizeof(sub), "%s/storage", path);
	if (!feed_subscriptions(d, path, '/', f))
		return false;
	/* Without, or by a link, there is no map. */
	if (feed_is_directory(sub) &&
		!read_index(d, sub, "dovecot.map.index", &x.map, &there, f))
		return false;
	snprintf(sub, sizeof(sub), "%s/mailboxes", path);
	bool ok = take_tree(&x, sub, STR(""), f);
	file_unmap(&x.open);
	return ok;
}
