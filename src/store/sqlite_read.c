/* SPDX-License-Identifier: ISC */
/* Reading messages of the SQLite engine, on connections of their own. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/must.h"
#include "store/rules.h"
#include "store/sqlite_private.h"

enum {
	HEAD_FIRST = 2048, /* most headers, with some of the body */
	NO_ROW = -1, /* the size of a body that is a file */
};

static bool give_row(sqlite3_stmt *q, store_row_f *fn, void *ctx)
{
	struct store_row row = {(uint32_t)db_int(q, 0), (uint32_t)db_int(q, 1),
		(uint64_t)db_int(q, 2), (uint64_t)db_int(q, 3), db_int(q, 4),
		db_int(q, 5), db_int(q, 6), db_text(q, 7)};

	return fn(&row, ctx);
}

/* What the statement finds; *more: fn wants more. */
static bool give_rows(struct db *db, sqlite3_stmt *q, store_row_f *fn,
	void *ctx, bool *more, struct fault *f)
{
	int r = 1;

	*more = true;
	while (*more && (r = db_step(db, q, f)) > 0)
		*more = give_row(q, fn, ctx);
	if (r > 0)
		db_reset(q);
	return r >= 0;
}

#define ROW "SELECT uid, flags, modseq, size, received, blob, stamp, keywords"

/* Where what was born after modseq since begins: invariant 8. */
static bool find_born(struct db *db, int64_t account, int64_t mailbox,
	uint64_t since, int64_t *uid_r, struct fault *f)
{
	sqlite3_stmt *q = db_query(db, f,
		"SELECT uid, createseq FROM messages"
		" WHERE account=? AND mailbox=? ORDER BY uid DESC",
		"ii", account, mailbox);
	int r;

	*uid_r = INT64_MAX;
	while ((r = db_step(db, q, f)) > 0) {
		if ((uint64_t)db_int(q, 1) <= since)
			break;
		*uid_r = db_int(q, 0);
	}
	if (r > 0)
		db_reset(q);
	return r >= 0;
}

/* What was changed since, then what was born since: by UID both, and every
 * UID of the second is above those of the first. */
static bool rows_since(struct db *db, int64_t account, int64_t mailbox,
	uint64_t since, store_row_f *fn, void *ctx, struct fault *f)
{
	int64_t born;
	bool more;

	if (!find_born(db, account, mailbox, since, &born, f))
		return false;
	sqlite3_stmt *q = db_query(db, f,
		ROW " FROM messages INDEXED BY messages_changed"
		    " WHERE account=? AND mailbox=? AND modseq>?"
		    " AND modseq>createseq AND uid<? ORDER BY uid",
		"iiii", account, mailbox, (int64_t)since, born);
	if (!give_rows(db, q, fn, ctx, &more, f))
		return false;
	if (!more || born == INT64_MAX)
		return true;
	q = db_query(db, f,
		ROW " FROM messages WHERE account=? AND mailbox=? AND uid>=?"
		    " ORDER BY uid",
		"iii", account, mailbox, born);
	return give_rows(db, q, fn, ctx, &more, f);
}

bool store_rows(struct store *s, int64_t account, int64_t mailbox,
	uint64_t since, uint32_t from_uid, store_row_f *fn, void *ctx,
	struct fault *f)
{
	struct store_shard *shard = store_shard_of(s, account);
	struct db *db = readers_get(shard->readers, f);
	bool more;

	if (db == NULL)
		return false;
	if (since > 0) {
		/* One snapshot for all three queries. */
		bool ok = db_run(db, f, "BEGIN", "") &&
			  rows_since(db, account, mailbox, since, fn, ctx, f);
		struct fault ignored;

		db_run(db, &ignored, "COMMIT", "");
		readers_put(shard->readers, db);
		return ok;
	}
	sqlite3_stmt *q = db_query(db, f,
		ROW " FROM messages WHERE account=? AND mailbox=? AND uid>=?"
		    " ORDER BY uid",
		"iii", account, mailbox, (int64_t)from_uid);
	bool ok = give_rows(db, q, fn, ctx, &more, f);
	readers_put(shard->readers, db);
	return ok;
}

bool store_vanished(struct store *s, int64_t account, int64_t mailbox,
	uint64_t since, store_vanished_f *fn, void *ctx, struct fault *f)
{
	struct store_shard *shard = store_shard_of(s, account);
	struct db *db = readers_get(shard->readers, f);
	int r;

	if (db == NULL)
		return false;
	sqlite3_stmt *q = db_query(db, f,
		"SELECT uid, modseq FROM vanished"
		" WHERE account=? AND mailbox=? AND modseq>? ORDER BY modseq",
		"iii", account, mailbox, (int64_t)since);
	while ((r = db_step(db, q, f)) > 0)
		fn((uint32_t)db_int(q, 0), (uint64_t)db_int(q, 1), ctx);
	readers_put(shard->readers, db);
	return r == 0;
}

/* A body that stands in a file of its own; the map is the caller's. */
static bool map_body(struct store_shard *shard, int64_t blob,
	struct file_map *map, struct fault *f)
{
	char path[4096];

	store_blob_path(shard, blob, path, sizeof(path));
	int fd CLEANUP(fd_close) = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? fault_sys(f, "open %s", path) : file_map_fd(fd, map, f);
}

static bool take_message(struct store_shard *shard, sqlite3_stmt *q,
	unsigned parts, struct store_message *m, struct fault *f)
{
	bool bytes = (parts & (STORE_BYTES | STORE_HEAD)) != 0;
	struct str cache = db_blob(q, 0), prefix = STR(""), data = STR("");
	struct file_map map CLEANUP(file_unmap) = {0};

	m->blob = db_int(q, 1);
	m->saved = db_int(q, 2);
	if (bytes) {
		prefix = db_blob(q, 3);
		data = db_blob(q, 4);
	}
	if (bytes && !str_present(data)) {
		if (!map_body(shard, m->blob, &map, f))
			return false;
		data = map.bytes;
	}
	if (bytes && (parts & STORE_BYTES) == 0)
		data = store_head(data);
	store_message_make(m, cache, prefix, data);
	return true;
}

static bool read_message(struct store_shard *shard, struct db *db,
	int64_t account, int64_t mailbox, uint32_t uid, unsigned parts,
	struct store_message *m_r, struct fault *f)
{
	struct store_message m = {0};
	bool bytes = (parts & (STORE_BYTES | STORE_HEAD)) != 0;
	sqlite3_stmt *q =
		bytes ? db_query(db, f,
				"SELECT b.cache, m.blob, m.savedate, m.prefix,"
				" b.data"
				" FROM messages m JOIN blobs b ON b.blob=m.blob"
				" WHERE account=? AND mailbox=? AND uid=?",
				"iii", account, mailbox, (int64_t)uid)
		      : db_query(db, f,
				"SELECT b.cache, m.blob, m.savedate"
				" FROM messages m JOIN blobs b ON b.blob=m.blob"
				" WHERE account=? AND mailbox=? AND uid=?",
				"iii", account, mailbox, (int64_t)uid);
	int r = db_step(db, q, f);
	bool ok = r > 0;

	if (r == 0)
		fault_set(f, FAULT_PERM, 0, 0, 3, "the message is gone");
	if (ok) {
		ok = take_message(shard, q, parts, &m, f);
		db_reset(q);
	}
	if (ok)
		*m_r = m;
	return ok;
}

struct store_reading {
	struct store_shard *shard;
	struct db *db;
	int64_t account;
};

struct store_reading *store_read_begin(
	struct store *s, int64_t account, struct fault *f)
{
	struct store_shard *shard = store_shard_of(s, account);
	struct db *db = readers_get(shard->readers, f);

	if (db == NULL)
		return NULL;
	if (!db_run(db, f, "BEGIN", "")) {
		readers_put(shard->readers, db);
		return NULL;
	}
	struct store_reading *r = must_alloc(sizeof(*r));
	*r = (struct store_reading){shard, db, account};
	return r;
}

bool store_read_message(struct store_reading *r, int64_t mailbox, uint32_t uid,
	unsigned parts, struct store_message *m_r, struct fault *f)
{
	return read_message(
		r->shard, r->db, r->account, mailbox, uid, parts, m_r, f);
}

void store_read_end(struct store_reading *r)
{
	struct fault ignored;

	if (r == NULL)
		return;
	db_run(r->db, &ignored, "COMMIT", "");
	readers_put(r->shard->readers, r->db);
	free(r);
}

/* The order of the join is said: messages by UID, then their blobs. */
#define GLIMPSES                                                               \
	" FROM messages m CROSS JOIN blobs b ON b.blob=m.blob"                 \
	" WHERE m.account=? AND m.mailbox=? AND m.uid BETWEEN ? AND ?"         \
	" ORDER BY m.uid"

struct glimpses {
	struct store_shard *shard;
	struct db *db;
	struct db_parts bodies;
	char head[STORE_ROW_MAX]; /* of a body that stands in its row */
	store_glimpse_f *fn;
	void *ctx;
};

/* The header, and of the body no more than it takes to see where that begins:
 * the pages behind it are not read. */
static bool head_of_row(struct glimpses *x, int64_t blob, size_t size,
	struct str *head_r, struct fault *f)
{
	for (size_t have = 0, want = HEAD_FIRST;; want *= 4) {
		if (want > size)
			want = size;
		if (!db_part(x->db, &x->bodies, blob, have, want - have,
			    x->head + have, f))
			return false;
		*head_r = store_head(str_of(x->head, want));
		if (head_r->len < want || want == size)
			return true;
		have = want;
	}
}

/* What cannot be read is left out: who asks for it alone hears why. */
static void give_glimpse(struct glimpses *x, sqlite3_stmt *q, bool head)
{
	struct store_glimpse g = {.uid = (uint32_t)db_int(q, 0),
		.saved = db_int(q, 1),
		.cache = db_blob(q, 2)};
	struct file_map map CLEANUP(file_unmap) = {0};
	int64_t blob = db_int(q, 3), size = head ? db_int(q, 5) : 0;
	struct fault unread;

	if (head && size == NO_ROW) {
		if (!map_body(x->shard, blob, &map, &unread))
			return;
		g.head = store_head(map.bytes);
	} else if (head && ((size_t)size > sizeof(x->head) ||
				   !head_of_row(x, blob, (size_t)size, &g.head,
					   &unread))) {
		return;
	}
	if (head)
		g.prefix = db_blob(q, 4);
	x->fn(&g, x->ctx);
}

bool store_glimpses(struct store *s, int64_t account, int64_t mailbox,
	uint32_t from_uid, uint32_t to_uid, unsigned parts, store_glimpse_f *fn,
	void *ctx, struct fault *f)
{
	struct store_shard *shard = store_shard_of(s, account);
	struct db *db = readers_get(shard->readers, f);
	bool head = (parts & STORE_HEAD) != 0;
	int r;

	if (db == NULL)
		return false;
	struct glimpses *x = must_alloc_raw(sizeof(*x));
	x->shard = shard;
	x->db = db;
	x->bodies = (struct db_parts){.table = "blobs", .column = "data"};
	x->fn = fn;
	x->ctx = ctx;
	sqlite3_stmt *q = db_query(db, f,
		head ? "SELECT m.uid, m.savedate, b.cache, m.blob, m.prefix,"
		       " ifnull(length(b.data), -1)" GLIMPSES
		     : "SELECT m.uid, m.savedate, b.cache, m.blob" GLIMPSES,
		"iiii", account, mailbox, (int64_t)from_uid, (int64_t)to_uid);
	while ((r = db_step(db, q, f)) > 0)
		give_glimpse(x, q, head);
	db_parts_end(&x->bodies);
	readers_put(shard->readers, db);
	free(x);
	return r == 0;
}
