/* SPDX-License-Identifier: ISC */
/* Reading messages of the SQLite engine, on connections of their own. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/must.h"
#include "store/sqlite_private.h"

bool store_rows(struct store *s, int64_t account, int64_t mailbox,
	uint64_t since, struct arena *a, store_row_f *fn, void *ctx,
	struct fault *f)
{
	struct store_shard *shard = store_shard_of(s, account);
	struct db *db = readers_get(shard->readers, f);
	sqlite3_stmt *q;
	int r;

	if (db == NULL)
		return false;
	if (since == 0)
		q = db_query(db, f,
			"SELECT uid, flags, modseq, size, received, keywords"
			" FROM messages WHERE account=? AND mailbox=?"
			" ORDER BY uid",
			"ii", account, mailbox);
	else
		q = db_query(db, f,
			"SELECT uid, flags, modseq, size, received, keywords"
			" FROM messages INDEXED BY messages_modseq"
			" WHERE account=? AND mailbox=? AND modseq>?"
			" ORDER BY uid",
			"iii", account, mailbox, (int64_t)since);
	while ((r = db_step(db, q, f)) > 0) {
		struct store_row row = {(uint32_t)db_int(q, 0),
			(uint32_t)db_int(q, 1), (uint64_t)db_int(q, 2),
			(uint64_t)db_int(q, 3), db_int(q, 4), {0}};
		struct str words = db_text(q, 5);

		if (words.len > 0)
			row.keywords = store_keywords(arena_str(a, words), a);
		fn(&row, ctx);
	}
	readers_put(shard->readers, db);
	return r == 0;
}

bool store_vanished(struct store *s, int64_t account, int64_t mailbox,
	uint64_t since, void (*fn)(uint32_t uid, void *ctx), void *ctx,
	struct fault *f)
{
	struct store_shard *shard = store_shard_of(s, account);
	struct db *db = readers_get(shard->readers, f);
	int r;

	if (db == NULL)
		return false;
	sqlite3_stmt *q = db_query(db, f,
		"SELECT uid FROM vanished"
		" WHERE account=? AND mailbox=? AND modseq>?",
		"iii", account, mailbox, (int64_t)since);
	while ((r = db_step(db, q, f)) > 0)
		fn((uint32_t)db_int(q, 0), ctx);
	readers_put(shard->readers, db);
	return r == 0;
}

/* prefix and body behind each other in one piece of memory */
static bool read_bytes(struct store_shard *shard, sqlite3_stmt *q,
	struct store_message *m, size_t cache_len, struct fault *f)
{
	struct str prefix = db_blob(q, 1), data = db_blob(q, 2);
	struct file_map map CLEANUP(file_unmap) = {0};
	char path[4096];

	if (!str_present(data)) {
		store_blob_path(shard, db_int(q, 3), path, sizeof(path));
		int fd CLEANUP(fd_close) = open(path, O_RDONLY | O_CLOEXEC);

		if (fd < 0)
			return fault_sys(f, "open %s", path);
		if (!file_map_fd(fd, &map, f))
			return false;
		data = map.bytes;
	}
	m->memory =
		must_realloc(m->memory, cache_len + prefix.len + data.len + 1);
	char *at = m->memory + cache_len;
	if (prefix.len > 0)
		memcpy(at, prefix.ptr, prefix.len);
	if (data.len > 0)
		memcpy(at + prefix.len, data.ptr, data.len);
	m->bytes = str_of(at, prefix.len + data.len);
	return true;
}

bool store_message(struct store *s, int64_t account, int64_t mailbox,
	uint32_t uid, unsigned parts, struct store_message *m_r,
	struct fault *f)
{
	struct store_shard *shard = store_shard_of(s, account);
	struct db *db = readers_get(shard->readers, f);
	struct store_message m = {0};
	bool bytes = (parts & STORE_BYTES) != 0;

	if (db == NULL)
		return false;
	sqlite3_stmt *q =
		bytes ? db_query(db, f,
				"SELECT m.cache, m.prefix, b.data, b.blob"
				" FROM messages m JOIN blobs b ON b.blob=m.blob"
				" WHERE account=? AND mailbox=? AND uid=?",
				"iii", account, mailbox, (int64_t)uid)
		      : db_query(db, f,
				"SELECT cache FROM messages"
				" WHERE account=? AND mailbox=? AND uid=?",
				"iii", account, mailbox, (int64_t)uid);
	int r = db_step(db, q, f);
	bool ok = r > 0;
	if (r == 0)
		fault_set(f, FAULT_PERM, 0, 0, 3, "the message is gone");
	if (ok) {
		struct str cache = db_blob(q, 0);

		m.memory = must_alloc(cache.len + 1);
		if (cache.len > 0)
			memcpy(m.memory, cache.ptr, cache.len);
		if (bytes)
			ok = read_bytes(shard, q, &m, cache.len, f);
		m.cache = str_of(m.memory, cache.len);
		db_reset(q);
	}
	readers_put(shard->readers, db);
	if (ok)
		*m_r = m;
	else
		free(m.memory);
	return ok;
}

void store_message_fini(struct store_message *m)
{
	free(m->memory);
	*m = (struct store_message){0};
}
