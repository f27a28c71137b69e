/* SPDX-License-Identifier: ISC */
#include "store/salvage_pages.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/must.h"
#include "codec/sqlite/page.h"
#include "db/db.h"
#include "sys/file.h"

enum {
	COLUMNS_MAX = 16,
	RECORD_MAX = 64 << 20,
	COMMIT_EVERY = 50000,
	/* In a file with so many, the number of the next page, with which one
	 * begins that goes on with a body, might look like the kind of a page:
	 * and a body is what a stranger wrote. */
	PAGES_MAX = 0x01ffffff,
};

struct raw_pages {
	int fd;
	struct sqlite_header header;
	uint32_t n; /* pages */
	unsigned char *is_free; /* a bit for each */
	char *page, *next; /* memory for one each */
	struct arena *a; /* of one record */
	uint64_t n_put;
};

/* ---- the file ---- */

static bool read_page(
	struct raw_pages *r, uint32_t number, char *to, struct str *page_r)
{
	size_t size = r->header.page_bytes;

	*page_r = str_of(to, size);
	return number >= 1 && number <= r->n &&
	       pread(r->fd, to, size, (off_t)(number - 1) * (off_t)size) ==
		       (ssize_t)size;
}

static bool is_free(const struct raw_pages *r, uint32_t number)
{
	return (r->is_free[number / 8] >> number % 8 & 1) != 0;
}

/* False: it is none, or was marked before. */
static bool mark_free(struct raw_pages *r, uint32_t number)
{
	if (number < 2 || number > r->n || is_free(r, number))
		return false;
	r->is_free[number / 8] |= (unsigned char)(1u << number % 8);
	return true;
}

static bool mark_all_free(struct raw_pages *r)
{
	uint32_t number = r->header.free_first, marked = 0;

	while (number != 0) {
		struct sqlite_trunk t;
		struct str page;

		if (!mark_free(r, number) ||
			!read_page(r, number, r->page, &page) ||
			!sqlite_trunk_read(page, r->header.usable, &t))
			return false;
		marked++;
		for (uint32_t i = 0; i < t.n; i++, marked++)
			if (!mark_free(r, sqlite_trunk_page(&t, i)))
				return false;
		number = t.next;
	}
	return marked == r->header.free_pages;
}

static bool read_header(struct raw_pages *r)
{
	char first[512];
	struct stat st;

	if (r->fd < 0 || fstat(r->fd, &st) != 0 ||
		pread(r->fd, first, sizeof(first), 0) !=
			(ssize_t)sizeof(first) ||
		!sqlite_header_read(str_of(first, sizeof(first)), &r->header))
		return false;
	uint64_t n = (uint64_t)st.st_size / r->header.page_bytes;
	r->n = n <= PAGES_MAX ? (uint32_t)n : 0;
	return r->n > 0;
}

static bool has_log(const char *path)
{
	char log[4300];
	struct stat st;

	snprintf(log, sizeof(log), "%s-wal", path);
	return stat(log, &st) == 0 && st.st_size > 0;
}

struct raw_pages *raw_pages_open(const char *path)
{
	struct raw_pages *r = must_alloc(sizeof(*r));

	r->a = arena_new(SIZE_MAX);
	r->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (!has_log(path) && read_header(r)) {
		r->is_free = must_alloc(r->n / 8 + 1);
		r->page = must_alloc(r->header.page_bytes);
		r->next = must_alloc(r->header.page_bytes);
		if (mark_all_free(r))
			return r;
	}
	raw_pages_close(r);
	return NULL;
}

void raw_pages_close(struct raw_pages *r)
{
	if (r == NULL)
		return;
	fd_close(&r->fd);
	arena_free(r->a);
	free(r->is_free);
	free(r->page);
	free(r->next);
	free(r);
}

/* ---- which table a row is of ---- */

/* Its columns: i a number, t a text, b octets; a capital: or nothing.  Behind
 * the | is what older rows do not have.  check: no garbage, by what its table
 * may have; into: INSERT ... SELECT would take longer with each row. */
static const struct shape {
	const char *columns;
	bool numbered;
	const char *check, *into;
} shapes[RAW_TABLES] = {
	[RAW_MAILBOXES] = {"iitiiiiiiiiii|i", false,
		"SELECT ?1>0 AND ?2>=0 AND ?6>0 AND (?2=0)=(?3='')",
		"INSERT OR IGNORE INTO mailboxes VALUES"
		"(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,ifnull(?14,1))"},
	/* No UID that the mailbox never gave; its own row may be lost. */
	[RAW_MESSAGES] = {"iiiiiiTiiiiB|I", false,
		"SELECT ?1>0 AND ?2>0 AND ?3 BETWEEN 1 AND 4294967294"
		" AND ?4>=?5 AND ?6 BETWEEN 0 AND 31 AND ?8>=0"
		" AND NOT EXISTS (SELECT 1 FROM mailboxes WHERE account=?1"
		" AND mailbox=?2 AND uidnext<=?3)"
		" AND NOT EXISTS (SELECT 1 FROM mailboxes WHERE account=?1"
		" AND mailbox=0 AND n_exists<?2)",
		"INSERT OR IGNORE INTO messages VALUES"
		"(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13)"},
	[RAW_REMOVED] = {"iiiiiTiiiiB", false,
		"SELECT ?1>0 AND ?2>0 AND ?3>0 AND ?4>0",
		"INSERT OR IGNORE INTO removed VALUES"
		"(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11)"},
	[RAW_ACL] = {"iiiti", false, "SELECT ?1>0 AND ?2>0",
		"INSERT OR IGNORE INTO acl VALUES(?1,?2,?3,?4,?5)"},
	[RAW_METADATA] = {"iitb", false, "SELECT ?1>0 AND ?2>=0",
		"INSERT OR IGNORE INTO metadata VALUES(?1,?2,?3,?4)"},
	[RAW_DELIVERIES] = {"iii", false, "SELECT ?1<>0 AND ?2>0 AND ?3>0",
		"INSERT OR IGNORE INTO deliveries VALUES(?1,?2,?3)"},
	/* Both have an account and a text: an address is who shares something,
	 * but where a mailbox is called so. */
	[RAW_SUBSCRIPTIONS] = {"it", false,
		"SELECT ?1>0 AND ?2<>'' AND (instr(?2,'@')=0"
		" OR instr(?2,'/')>0 OR EXISTS (SELECT 1 FROM mailboxes"
		" WHERE account=?1 AND mailbox>0 AND name=?2))",
		"INSERT OR IGNORE INTO subscriptions VALUES(?1,?2)"},
	[RAW_SHARERS] = {"it", false,
		"SELECT instr(?2,'@')>0 AND instr(?2,'/')=0"
		" AND NOT EXISTS (SELECT 1 FROM mailboxes"
		" WHERE account=?1 AND mailbox>0 AND name=?2)",
		"INSERT OR IGNORE INTO sharers VALUES(?1,?2)"},
	[RAW_BLOBS] = {"NiiBB", true,
		"SELECT count(*) FROM named WHERE blob=?1",
		"INSERT OR IGNORE INTO blobs VALUES(?1,?2,?3,?4,?5)"},
};

static bool fits(const struct sqlite_value *v, char column)
{
	switch (column) {
	case 'N':
		return v->kind == SQLITE_V_NULL;
	case 'I':
	case 'T':
	case 'B':
		return v->kind == SQLITE_V_NULL ||
		       fits(v, (char)(column | 0x20));
	case 'i':
		return v->kind == SQLITE_V_INT;
	case 't':
		return v->kind == SQLITE_V_TEXT;
	default:
		return v->kind == SQLITE_V_BLOB;
	}
}

static bool has_shape(
	const struct shape *shape, const struct sqlite_value *v, size_t n)
{
	const char *c = shape->columns;
	size_t i = 0;

	for (; *c != '\0'; c++) {
		if (*c == '|' && i == n)
			return true;
		if (*c == '|')
			continue;
		if (i == n || !fits(&v[i++], *c))
			return false;
	}
	return i == n;
}

/* ---- one row ---- */

static void bind_one(sqlite3_stmt *s, int at, const struct sqlite_value *v)
{
	switch (v->kind) {
	case SQLITE_V_INT:
		sqlite3_bind_int64(s, at, v->n);
		break;
	case SQLITE_V_TEXT:
		sqlite3_bind_text(
			s, at, v->s.ptr, (int)v->s.len, SQLITE_STATIC);
		break;
	case SQLITE_V_BLOB:
		sqlite3_bind_blob(
			s, at, v->s.ptr, (int)v->s.len, SQLITE_STATIC);
		break;
	case SQLITE_V_NULL:
	case SQLITE_V_REAL: /* no column of ours */
		sqlite3_bind_null(s, at);
		break;
	}
}

/* As many as the statement has. */
static sqlite3_stmt *bind(struct db *to, const char *sql,
	const struct sqlite_value *v, size_t n, struct fault *f)
{
	sqlite3_stmt *s = db_query(to, f, sql, "");

	if (s == NULL)
		return NULL;
	size_t all = (size_t)sqlite3_bind_parameter_count(s);
	sqlite3_clear_bindings(s);
	for (size_t i = 0; i < n && i < all; i++)
		bind_one(s, (int)i + 1, &v[i]);
	return s;
}

static bool put_row(struct raw_pages *r, const struct shape *shape,
	const struct sqlite_value *v, size_t n, struct db *to, struct fault *f)
{
	sqlite3_stmt *check = bind(to, shape->check, v, n, f);

	if (check == NULL || db_step(to, check, f) < 0)
		return false;
	bool sane = db_int(check, 0) != 0;
	db_reset(check);
	if (!sane)
		return true;
	sqlite3_stmt *into = bind(to, shape->into, v, n, f);
	if (into == NULL || db_step(to, into, f) != 0)
		return false;
	return ++r->n_put % COMMIT_EVERY != 0 ||
	       db_exec(to, "COMMIT; BEGIN", f);
}

/* The record, with what of it stands on other pages; false: a part cannot be
 * read. */
static bool gather(
	struct raw_pages *r, const struct sqlite_cell *c, struct str *record_r)
{
	uint32_t next = c->overflow;
	struct str page;

	*record_r = c->local;
	if (next == 0)
		return true;
	if (c->size > RECORD_MAX)
		return false;
	char *bytes = arena_alloc(r->a, c->size);
	size_t have = c->local.len;
	memcpy(bytes, c->local.ptr, have);
	while (have < c->size) {
		if (!read_page(r, next, r->next, &page) || is_free(r, next))
			return false;
		struct str more =
			str_sub(sqlite_overflow(page, r->header.usable, &next),
				0, c->size - have);
		memcpy(bytes + have, more.ptr, more.len);
		have += more.len;
	}
	*record_r = str_of(bytes, c->size);
	return true;
}

static bool put_cell(struct raw_pages *r, const struct sqlite_page *p, size_t i,
	const struct shape *shape, struct db *to, struct fault *f)
{
	struct sqlite_value v[COLUMNS_MAX];
	struct sqlite_cell c;
	struct str record;
	size_t n;

	arena_reset(r->a);
	if (!sqlite_cell_read(p, i, &c) || !gather(r, &c, &record) ||
		!sqlite_record_read(record, v, COLUMNS_MAX, &n) ||
		!has_shape(shape, v, n))
		return true;
	/* The number of a row stands in front of it. */
	if (shape->numbered)
		v[0] = (struct sqlite_value){
			.kind = SQLITE_V_INT, .n = c.rowid};
	return put_row(r, shape, v, n, to, f);
}

bool raw_pages_put(struct raw_pages *r, enum raw_table table, struct db *to,
	struct fault *f)
{
	const struct shape *shape = &shapes[table];

	for (uint32_t number = 1; number <= r->n; number++) {
		struct sqlite_page p;
		struct str page;

		if (is_free(r, number) ||
			!read_page(r, number, r->page, &page) ||
			!sqlite_page_read(
				page, r->header.usable, number == 1, &p) ||
			p.numbered != shape->numbered)
			continue;
		for (size_t i = 0; i < p.n; i++)
			if (!put_cell(r, &p, i, shape, to, f))
				return false;
	}
	return true;
}
