/* SPDX-License-Identifier: ISC */
#include "store/usage.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"
#include "db/db.h"
#include "sys/crypto.h"
#include "sys/file.h"

enum { DAY_S = 86400, FORGET_DAYS = 400, HASH_BYTES = 16 };

static const char schema_1[] =
	"CREATE TABLE days(account INT, day INT, messages INT NOT NULL,"
	" recipients INT NOT NULL, new_recipients INT NOT NULL,"
	" told INT NOT NULL, PRIMARY KEY(account, day)) WITHOUT ROWID;"
	"CREATE TABLE known(account INT, address BLOB, day INT NOT NULL,"
	" PRIMARY KEY(account, address)) WITHOUT ROWID";
static const char *const schema[] = {schema_1};

struct usage {
	struct db *db;
	int64_t swept; /* day */
};

struct usage *usage_open(const char *data_dir, struct fault *f)
{
	struct usage *u = must_alloc(sizeof(*u));
	char path[4096];

	snprintf(path, sizeof(path), "%s/accounts", data_dir);
	if (dir_make(path, 0700, f)) {
		snprintf(path, sizeof(path), "%s/accounts/usage.db", data_dir);
		u->db = db_open(path, DB_LOOSE, f);
	}
	if (u->db != NULL && db_schema(u->db, schema, ARRAY_LEN(schema), f))
		return u;
	usage_close(u);
	return NULL;
}

void usage_close(struct usage *u)
{
	if (u == NULL)
		return;
	db_close(u->db);
	free(u);
}

/* What is kept of an address: enough to know it again. */
static struct str digest(
	struct str address, struct arena *a, unsigned char out[SCRAM_KEY_MAX])
{
	scram_hash(SCRAM_SHA256, arena_lower(a, address), out);
	return str_of(out, HASH_BYTES);
}

static bool sweep(struct usage *u, int64_t day, struct fault *f)
{
	if (u->swept == day)
		return true;
	u->swept = day;
	return db_run(u->db, f, "DELETE FROM days WHERE day < ?", "i", day) &&
	       db_run(u->db, f, "DELETE FROM known WHERE day < ?", "i",
		       day - FORGET_DAYS);
}

static bool count_new(struct usage *u, int64_t account,
	const struct strs *recipients, struct arena *a, int64_t *n_r,
	struct fault *f)
{
	unsigned char sum[SCRAM_KEY_MAX];

	*n_r = 0;
	for (size_t i = 0; i < recipients->n; i++) {
		int64_t known = 0;

		if (!db_number(u->db, f, &known,
			    "SELECT count(*) FROM known WHERE account=?"
			    " AND address=?",
			    "ib", account, digest(recipients->v[i], a, sum)))
			return false;
		*n_r += known == 0;
	}
	return true;
}

static bool learn(struct usage *u, int64_t account, int64_t day,
	const struct strs *recipients, struct arena *a, struct fault *f)
{
	unsigned char sum[SCRAM_KEY_MAX];

	for (size_t i = 0; i < recipients->n; i++)
		if (!db_run(u->db, f,
			    "INSERT INTO known(account, address, day)"
			    " VALUES(?,?,?) ON CONFLICT DO UPDATE SET day=?",
			    "ibii", account, digest(recipients->v[i], a, sum),
			    day, day))
			return false;
	return true;
}

struct counts {
	int64_t messages, recipients, new_recipients, told;
};

static bool read_counts(struct usage *u, int64_t account, int64_t day,
	struct counts *c, struct fault *f)
{
	sqlite3_stmt *s = db_query(u->db, f,
		"SELECT messages, recipients, new_recipients, told FROM days"
		" WHERE account=? AND day=?",
		"ii", account, day);
	int r = db_step(u->db, s, f);

	if (r <= 0)
		return r == 0;
	*c = (struct counts){
		db_int(s, 0), db_int(s, 1), db_int(s, 2), db_int(s, 3)};
	db_reset(s);
	return true;
}

static bool is_over(int64_t count, int64_t limit)
{
	return limit > 0 && count > limit;
}

static void judge(const struct counts *c, const struct usage_limits *l,
	struct usage_result *r)
{
	*r = (struct usage_result){.over = USAGE_WITHIN};
	if (is_over(c->messages, l->messages))
		*r = (struct usage_result){USAGE_MESSAGES, c->messages, false};
	else if (is_over(c->recipients, l->recipients))
		*r = (struct usage_result){
			USAGE_RECIPIENTS, c->recipients, false};
	else if (is_over(c->new_recipients, l->new_recipients))
		*r = (struct usage_result){
			USAGE_NEW_RECIPIENTS, c->new_recipients, false};
	r->first = r->over != USAGE_WITHIN && c->told == 0;
}

static bool spend(struct usage *u, int64_t account, int64_t day,
	const struct strs *recipients, const struct usage_limits *limits,
	struct arena *a, struct usage_result *result_r, struct fault *f)
{
	struct counts c = {0};
	int64_t fresh;

	if (!sweep(u, day, f) || !read_counts(u, account, day, &c, f) ||
		!count_new(u, account, recipients, a, &fresh, f))
		return false;
	c.messages++;
	c.recipients += (int64_t)recipients->n;
	c.new_recipients += fresh;
	judge(&c, limits, result_r);
	bool within = result_r->over == USAGE_WITHIN;
	if (within && !learn(u, account, day, recipients, a, f))
		return false;
	return db_run(u->db, f,
		"INSERT OR REPLACE INTO days(account, day, messages,"
		" recipients, new_recipients, told) VALUES(?,?,?,?,?,?)",
		"iiiiii", account, day, c.messages, c.recipients,
		c.new_recipients, within ? c.told : (int64_t)1);
}

bool usage_spend(struct usage *u, int64_t account, int64_t now,
	const struct strs *recipients, const struct usage_limits *limits,
	struct usage_result *result_r, struct fault *f)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct fault ignored;

	if (!db_exec(u->db, "BEGIN IMMEDIATE", f))
		return false;
	if (spend(u, account, now / DAY_S, recipients, limits, a, result_r,
		    f) &&
		db_exec(u->db, "COMMIT", f))
		return true;
	db_exec(u->db, "ROLLBACK", &ignored);
	return false;
}
