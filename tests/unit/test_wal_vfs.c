/* SPDX-License-Identifier: ISC */
/* The log that is written in one piece: what is committed is what others see,
 * in transactions of all sizes; what is rolled back, nobody. */
#include "db/db.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/must.h"
#include "tests/unit/test.h"

enum { ROW = 10000 };

static int64_t sum(struct db *db)
{
	int64_t n = 0;
	struct fault f;

	assert_true(db_number(
		db, &f, &n, "SELECT coalesce(sum(length(b)), 0) FROM t", ""));
	return n;
}

static void add(struct db *db, int rows, char *bytes)
{
	struct fault f;

	for (int i = 0; i < rows; i++)
		assert_true(db_run(db, &f, "INSERT INTO t(b) VALUES(?)", "b",
			str_of(bytes, ROW)));
}

static void others_see_what_is_committed(void **state UNUSED)
{
	static const int sizes[] = {1, 3, 12, 13, 30, 200, 1, 50};
	char dir[] = "/tmp/postern-wal-XXXXXX", path[64], command[100];
	char *bytes = must_alloc(ROW);
	int64_t want = 0;
	struct fault f;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/t.db", dir);
	struct db *w = db_open(path, DB_WRITE, &f);
	assert_true(db_exec(w, "CREATE TABLE t(b BLOB)", &f));
	struct db *r = db_open(path, DB_READ, &f);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		assert_true(db_exec(w, "BEGIN", &f));
		add(w, sizes[i], bytes);
		assert_int_equal(sum(r), want);
		assert_int_equal(sum(w), want + sizes[i] * ROW);
		assert_true(db_exec(w, "COMMIT", &f));
		want += sizes[i] * ROW;
		assert_int_equal(sum(r), want);
		assert_true(db_exec(w, "BEGIN", &f));
		add(w, sizes[i], bytes);
		assert_true(db_exec(w, "ROLLBACK", &f));
		assert_int_equal(sum(r), want);
		assert_int_equal(sum(w), want);
	}
	assert_true(db_exec(w, "PRAGMA wal_checkpoint(TRUNCATE)", &f));
	assert_int_equal(sum(r), want);
	add(w, 1, bytes);
	db_close(w);
	db_close(r);
	r = db_open(path, DB_READ, &f);
	assert_int_equal(sum(r), want + ROW);
	db_close(r);
	free(bytes);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(others_see_what_is_committed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
