/* SPDX-License-Identifier: ISC */
#include "store/fts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/map.h"
#include "base/must.h"
#include "db/db.h"
#include "sys/file.h"

enum {
	WORD_MAX = 200, /* a longer one is no word: it is in LONG's list */
	WORDS_MAX = 20000, /* that fit a key; beyond, it says nothing */
	BATCH = 64, /* words in one query */
	VOCABULARY_MAX = 256 << 20,
};

/* What a blob with an overlong word has: it is always a candidate. */
#define LONG "zzlongwordzz"

static const char schema_1[] =
	"CREATE VIRTUAL TABLE words USING fts5(header, body, content='',"
	" detail=column, tokenize='ascii');"
	"CREATE TABLE terms(id INTEGER PRIMARY KEY, term BLOB UNIQUE);"
	"CREATE TABLE blobs(blob INTEGER PRIMARY KEY);"
	"CREATE TABLE marks(mailbox INTEGER PRIMARY KEY, uid INT NOT NULL)";
static const char *const schema[] = {schema_1};

struct fts {
	struct db *db;
	/* The words up to this id, each with a NUL behind it. */
	struct buf vocabulary;
	int64_t last_term;
};

static void path_of(const char *dir, int64_t account, char *out, size_t len)
{
	snprintf(out, len, "%s/fts/%llx.db", dir, (unsigned long long)account);
}

/* Who does not make the file waits until who does has made all of it. */
static bool is_ready(struct fts *t, bool make, struct fault *f)
{
	int64_t version = 0;

	if (make)
		return db_schema(t->db, schema, ARRAY_LEN(schema), f);
	if (!db_number(t->db, f, &version, "PRAGMA user_version", ""))
		return false;
	return version == ARRAY_LEN(schema) ||
	       fault_set(f, FAULT_PERM, 0, 0, 3, "the index is not ready");
}

struct fts *fts_open(
	const char *dir, int64_t account, bool make, struct fault *f)
{
	struct fts *t;
	char path[4096], folder[4096];

	path_of(dir, account, path, sizeof(path));
	snprintf(folder, sizeof(folder), "%s/fts", dir);
	if (!make && access(path, F_OK) != 0) {
		fault_set(f, FAULT_PERM, 0, 0, 3, "there is no index");
		return NULL;
	}
	if (!dir_make(folder, 0700, f))
		return NULL;
	t = must_alloc(sizeof(*t));
	buf_init(&t->vocabulary, VOCABULARY_MAX);
	t->db = db_open(path, DB_LOOSE, f);
	/* After a power cut it may be older than the mail, never torn. */
	if (t->db != NULL && db_exec(t->db, "PRAGMA synchronous=NORMAL", f) &&
		is_ready(t, make, f))
		return t;
	fts_close(t);
	return NULL;
}

void fts_close(struct fts *t)
{
	if (t == NULL)
		return;
	db_close(t->db);
	buf_fini(&t->vocabulary);
	free(t);
}

void fts_remove(const char *dir, int64_t account)
{
	static const char *const tails[] = {"", "-wal", "-shm"};
	char path[4096], whole[4100];

	path_of(dir, account, path, sizeof(path));
	for (size_t i = 0; i < ARRAY_LEN(tails); i++) {
		snprintf(whole, sizeof(whole), "%s%s", path, tails[i]);
		unlink(whole);
	}
}

/* ---- words ---- */

static bool is_word_byte(char c)
{
	return ascii_is_alnum(c) || (unsigned char)c >= 0x80;
}

/* The next run; absent at the end. */
static struct str next_word(struct str *text)
{
	size_t from = 0, to;

	while (from < text->len && !is_word_byte(text->ptr[from]))
		from++;
	for (to = from; to < text->len && is_word_byte(text->ptr[to]);)
		to++;
	struct str word = str_sub(*text, from, to - from);
	*text = str_from_at(*text, to);
	return word.len > 0 ? word : STR_NONE;
}

/* Each word once, blanks between; new ones go into the vocabulary. */
static bool put_words(
	struct fts *t, struct str text, struct buf *out, struct fault *f)
{
	struct map *seen = map_new();
	bool ok = true;

	for (struct str word; ok && str_present(word = next_word(&text));) {
		if (word.len > WORD_MAX)
			word = STR(LONG);
		if (map_set(seen, word, seen) != NULL)
			continue;
		ok = db_run(t->db, f,
			"INSERT OR IGNORE INTO terms(term) VALUES(?)", "b",
			word);
		buf_put(out, word);
		buf_putc(out, ' ');
	}
	map_free(seen, NULL);
	return ok;
}

/* ---- writing ---- */

bool fts_begin(struct fts *t, struct fault *f)
{
	return db_exec(t->db, "BEGIN IMMEDIATE", f);
}

bool fts_commit(struct fts *t, struct fault *f)
{
	return db_exec(t->db, "COMMIT", f);
}

bool fts_add(struct fts *t, int64_t blob, struct str header, struct str body,
	struct fault *f)
{
	struct buf h CLEANUP(buf_fini);
	struct buf b CLEANUP(buf_fini);

	if (!db_run(t->db, f, "INSERT OR IGNORE INTO blobs VALUES(?)", "i",
		    blob))
		return false;
	if (db_changes(t->db) == 0)
		return true;
	buf_init(&h, header.len * 2 + 64);
	buf_init(&b, body.len * 2 + 64);
	return put_words(t, header, &h, f) && put_words(t, body, &b, f) &&
	       db_run(t->db, f,
		       "INSERT INTO words(rowid, header, body) VALUES(?,?,?)",
		       "itt", blob, buf_str(&h), buf_str(&b));
}

bool fts_mark(struct fts *t, int64_t mailbox, uint32_t uid, struct fault *f)
{
	return db_run(t->db, f, "INSERT OR REPLACE INTO marks VALUES(?,?)",
		"ii", mailbox, (int64_t)uid);
}

/* ---- reading ---- */

bool fts_marked(
	struct fts *t, int64_t mailbox, uint32_t *uid_r, struct fault *f)
{
	int64_t uid = 0;

	if (!db_number(t->db, f, &uid, "SELECT uid FROM marks WHERE mailbox=?",
		    "i", mailbox))
		return false;
	*uid_r = (uint32_t)uid;
	return true;
}

/* What came since the last look. */
static bool load_vocabulary(struct fts *t, struct fault *f)
{
	sqlite3_stmt *q = db_query(t->db, f,
		"SELECT id, term FROM terms WHERE id>? ORDER BY id", "i",
		t->last_term);
	int r;

	while ((r = db_step(t->db, q, f)) > 0) {
		t->last_term = db_int(q, 0);
		buf_put(&t->vocabulary, db_blob(q, 1));
		buf_putc(&t->vocabulary, '\0');
	}
	return r == 0;
}

static struct str longest_run(struct str key)
{
	struct str best = STR_NONE, word;

	while (str_present(word = next_word(&key)))
		if (word.len > best.len)
			best = word;
	return best;
}

struct found {
	int64_t *v;
	size_t n, cap;
	struct arena *a;
};

static void keep(struct found *l, int64_t blob)
{
	if (l->n == l->cap) {
		size_t cap = l->cap > 0 ? l->cap * 2 : 256;
		int64_t *v = arena_alloc(l->a, cap * sizeof(*v));

		if (l->n > 0)
			memcpy(v, l->v, l->n * sizeof(*v));
		l->v = v;
		l->cap = cap;
	}
	l->v[l->n++] = blob;
}

static bool ask(
	struct fts *t, struct buf *expression, struct found *l, struct fault *f)
{
	int r;

	if (expression->len == 0)
		return true;
	sqlite3_stmt *q = db_query(t->db, f,
		"SELECT rowid FROM words WHERE words MATCH ?", "t",
		buf_str(expression));
	while ((r = db_step(t->db, q, f)) > 0)
		keep(l, db_int(q, 0));
	buf_reset(expression);
	return r == 0;
}

static void add_word(
	struct buf *expression, enum fts_column column, struct str word)
{
	static const char *const columns[] = {"header:", "body:", ""};

	buf_puts(expression, expression->len > 0 ? " OR " : "");
	buf_puts(expression, columns[column]);
	buf_putc(expression, '"');
	buf_put(expression, word);
	buf_putc(expression, '"');
}

/* The word of the vocabulary around a hit. */
static struct str word_around(struct str all, size_t at)
{
	size_t from = at, to = at;

	while (from > 0 && all.ptr[from - 1] != '\0')
		from--;
	while (to < all.len && all.ptr[to] != '\0')
		to++;
	return str_sub(all, from, to - from);
}

static bool ask_all(struct fts *t, enum fts_column column, struct str run,
	struct found *l, bool *usable_r, struct fault *f)
{
	struct buf expression CLEANUP(buf_fini);
	struct str all = buf_str(&t->vocabulary);
	size_t at = 0, words = 0;

	buf_init(&expression, BATCH * (WORD_MAX + 20) * 2);
	add_word(&expression, column, STR(LONG));
	while (at < all.len) {
		const char *hit =
			memmem(all.ptr + at, all.len - at, run.ptr, run.len);

		if (hit == NULL)
			break;
		struct str word = word_around(all, (size_t)(hit - all.ptr));
		at = (size_t)(word.ptr - all.ptr) + word.len + 1;
		if (++words > WORDS_MAX) {
			*usable_r = false;
			return true;
		}
		add_word(&expression, column, word);
		if (words % BATCH == 0 && !ask(t, &expression, l, f))
			return false;
	}
	return ask(t, &expression, l, f);
}

static int by_number(const void *x, const void *y)
{
	const int64_t *a = x, *b = y;

	return *a < *b ? -1 : *a > *b;
}

bool fts_candidates(struct fts *t, enum fts_column column, struct str key,
	struct arena *a, int64_t **blobs_r, size_t *n_r, bool *usable_r,
	struct fault *f)
{
	struct found l = {.a = a};
	struct str run = longest_run(key);
	size_t n = 0;

	*usable_r = false;
	*n_r = 0;
	if (!str_present(run) || run.len > WORD_MAX)
		return true;
	if (!load_vocabulary(t, f))
		return false;
	*usable_r = !buf_over(&t->vocabulary);
	if (*usable_r && !ask_all(t, column, run, &l, usable_r, f))
		return false;
	if (l.n > 0)
		qsort(l.v, l.n, sizeof(*l.v), by_number);
	for (size_t i = 0; i < l.n; i++)
		if (n == 0 || l.v[n - 1] != l.v[i])
			l.v[n++] = l.v[i];
	*blobs_r = l.v;
	*n_r = n;
	return true;
}
