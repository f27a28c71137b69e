/* SPDX-License-Identifier: ISC */
#include "store/account.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/must.h"
#include "db/db.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/waiting.h"

static const char schema_1[] =
	"CREATE TABLE accounts(id INTEGER PRIMARY KEY AUTOINCREMENT,"
	" address TEXT NOT NULL UNIQUE, domain TEXT NOT NULL,"
	" hash TEXT NOT NULL, salt BLOB NOT NULL, stored_key BLOB NOT NULL,"
	" server_key BLOB NOT NULL, iterations INT NOT NULL,"
	" created INT NOT NULL);"
	"CREATE INDEX accounts_domain ON accounts(domain)";
/* SCRAM-SHA-1; NULL until the password is seen again */
static const char schema_2[] =
	"ALTER TABLE accounts ADD COLUMN stored_key_sha1 BLOB;"
	"ALTER TABLE accounts ADD COLUMN server_key_sha1 BLOB";
static const char *const schema[] = {schema_1, schema_2};

struct accounts {
	struct db *db;
};

struct accounts *accounts_open(const char *data_dir, struct fault *f)
{
	struct accounts *a = must_alloc(sizeof(*a));
	char path[4096], dir[4000];

	snprintf(path, sizeof(path), "%s/accounts/accounts.db", data_dir);
	snprintf(dir, sizeof(dir), "%s/accounts", data_dir);
	if (dir_make(dir, 0700, f))
		a->db = db_open(path, DB_WRITE, f);
	if (a->db != NULL && db_schema(a->db, schema, ARRAY_LEN(schema), f))
		return a;
	accounts_close(a);
	return NULL;
}

struct accounts *accounts_open_to_read(const char *data_dir, struct fault *f)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/accounts/accounts.db", data_dir);
	if (access(path, F_OK) != 0) {
		fault_set(f, FAULT_PERM, 0, 3, 0, "there is no %s", path);
		return NULL;
	}
	struct accounts *a = must_alloc(sizeof(*a));
	a->db = db_open(path, DB_READ, f);
	if (a->db != NULL)
		return a;
	accounts_close(a);
	return NULL;
}

void accounts_close(struct accounts *a)
{
	if (a == NULL)
		return;
	db_close(a->db);
	free(a);
}

enum account_result account_get(struct accounts *a, struct str address,
	struct arena *arena, struct account *account_r, struct fault *f)
{
	struct str key = arena_lower(arena, address);
	sqlite3_stmt *s = db_query(a->db, f,
		"SELECT id, address, hash, salt, stored_key, server_key,"
		" iterations, stored_key_sha1, server_key_sha1"
		" FROM accounts WHERE address=?",
		"t", key);
	int r = db_step(a->db, s, f);

	if (r <= 0)
		return r < 0 ? ACCOUNT_ERROR : ACCOUNT_NONE;
	*account_r = (struct account){.id = db_int(s, 0),
		.address = arena_str(arena, db_text(s, 1)),
		.hash = arena_str(arena, db_text(s, 2)),
		.scram_salt = arena_str(arena, db_blob(s, 3)),
		.scram = {{arena_str(arena, db_blob(s, 4)),
				  arena_str(arena, db_blob(s, 5))},
			{arena_str(arena, db_blob(s, 7)),
				arena_str(arena, db_blob(s, 8))}},
		.iterations = db_int(s, 6)};
	db_reset(s);
	return ACCOUNT_FOUND;
}

enum account_result account_domain(
	struct accounts *a, struct str domain, struct fault *f)
{
	struct arena *arena = arena_new(SIZE_MAX);
	struct str key = arena_lower(arena, domain);
	sqlite3_stmt *s = db_query(a->db, f,
		"SELECT 1 FROM accounts WHERE domain=? LIMIT 1", "t", key);
	int r = db_step(a->db, s, f);

	if (r > 0)
		db_reset(s);
	arena_free(arena);
	return r > 0 ? ACCOUNT_FOUND : r == 0 ? ACCOUNT_NONE : ACCOUNT_ERROR;
}

bool account_ids_of(struct accounts *a, struct str domain, struct arena *arena,
	int64_t **ids_r, size_t *n_r, struct fault *f)
{
	sqlite3_stmt *s =
		db_query(a->db, f, "SELECT id FROM accounts WHERE domain=?",
			"t", arena_lower(arena, domain));
	size_t cap = 0;
	int r;

	*ids_r = NULL;
	*n_r = 0;
	while ((r = db_step(a->db, s, f)) > 0) {
		*ids_r =
			arena_grown(arena, *ids_r, *n_r, &cap, sizeof(**ids_r));
		(*ids_r)[(*n_r)++] = db_int(s, 0);
	}
	return r == 0;
}

/* ---- secrets ---- */

static bool hash_password(struct str password, char *out, size_t len)
{
	struct crypt_data *data = must_alloc(sizeof(*data));
	char *secret = str_heap(password);
	char random[32];
	char setting[CRYPT_GENSALT_OUTPUT_SIZE];

	random_fill(random, sizeof(random));
	const char *hash = NULL;
	if (crypt_gensalt_rn("$y$", 0, random, sizeof(random), setting,
		    sizeof(setting)) != NULL)
		hash = crypt_r(secret, setting, data);
	bool ok = hash != NULL && hash[0] != '*';
	if (ok)
		snprintf(out, len, "%s", hash);
	OPENSSL_cleanse(secret, password.len);
	OPENSSL_cleanse(data, sizeof(*data));
	free(secret);
	free(data);
	return ok;
}

bool account_verify(const struct account *account, struct str password)
{
	/* A hash that nothing fits: an unknown user costs the same time. */
	static const char nobody[] =
		"$y$j9T$aBcDeFgHiJkLmNoPqRsTu.$"
		"v5Gq1z0iQm1QpXj0tqjJcYk3yV7nZr6mFh2bLs8dWe0";
	struct crypt_data *data = must_alloc(sizeof(*data));
	char *secret = str_heap(password);
	char *stored =
		account != NULL ? str_heap(account->hash) : must_strdup(nobody);
	/* Made to cost much. */
	waiting_begin();
	const char *hash = str_find(password, '\0') < 0
				   ? crypt_r(secret, stored, data)
				   : NULL;
	waiting_end();
	bool ok = hash != NULL && hash[0] != '*' && account != NULL &&
		  str_eq_secret(str_from(hash), account->hash);

	OPENSSL_cleanse(secret, password.len);
	OPENSSL_cleanse(data, sizeof(*data));
	free(secret);
	free(stored);
	free(data);
	return ok;
}

struct secrets {
	char hash[CRYPT_OUTPUT_SIZE];
	unsigned char salt[SCRAM_SALT_BYTES];
	struct scram_keys keys[SCRAM_DIGESTS];
};

static struct str stored_key(const struct secrets *s, enum scram_digest d)
{
	return str_of(s->keys[d].stored_key, scram_key_bytes(d));
}

static struct str server_key(const struct secrets *s, enum scram_digest d)
{
	return str_of(s->keys[d].server_key, scram_key_bytes(d));
}

static bool make_secrets(
	struct str password, struct secrets *s, struct fault *f)
{
	if (password.len == 0 || password.len > 500 ||
		str_find(password, '\0') >= 0)
		return fault_set(f, FAULT_PERM, 0, 7, 0,
			"a password has 1 to 500 bytes and no NUL");
	if (!hash_password(password, s->hash, sizeof(s->hash)))
		return fault_set(f, FAULT_TEMP, 0, 7, 0, "crypt(3) failed");
	random_fill(s->salt, sizeof(s->salt));
	for (enum scram_digest d = 0; d < SCRAM_DIGESTS; d++) {
		scram_keys_make(d, password, str_of(s->salt, sizeof(s->salt)),
			SCRAM_ITERATIONS, &s->keys[d]);
		OPENSSL_cleanse(s->keys[d].client_key, SCRAM_KEY_MAX);
	}
	return true;
}

bool account_add(struct accounts *a, struct str address, struct str password,
	struct fault *f)
{
	struct arena *arena = arena_new(SIZE_MAX);
	struct str key = arena_lower(arena, address);
	ptrdiff_t at = str_rfind(key, '@');
	struct secrets s;
	struct account have;

	must(at > 0);
	enum account_result r = account_get(a, key, arena, &have, f);
	bool ok = r == ACCOUNT_NONE;
	if (r == ACCOUNT_FOUND)
		fault_set(f, FAULT_PERM, 0, 1, 4, "%.*s is there already",
			STR_ARG(key));
	ok = ok && make_secrets(password, &s, f) &&
	     db_run(a->db, f,
		     "INSERT INTO accounts(address, domain, hash, salt,"
		     " stored_key, server_key, stored_key_sha1,"
		     " server_key_sha1, iterations, created)"
		     " VALUES(?,?,?,?,?,?,?,?,?,?)",
		     "tttbbbbbii", key, str_from_at(key, (size_t)at + 1),
		     str_from(s.hash), str_of(s.salt, sizeof(s.salt)),
		     stored_key(&s, SCRAM_SHA256), server_key(&s, SCRAM_SHA256),
		     stored_key(&s, SCRAM_SHA1), server_key(&s, SCRAM_SHA1),
		     (int64_t)SCRAM_ITERATIONS, clock_unix());
	arena_free(arena);
	return ok;
}

static bool must_exist(struct accounts *a, struct str key, struct fault *f)
{
	return db_changes(a->db) > 0 ||
	       fault_set(f, FAULT_PERM, 0, 1, 1, "there is no account %.*s",
		       STR_ARG(key));
}

bool account_passwd(struct accounts *a, struct str address, struct str password,
	struct fault *f)
{
	struct arena *arena = arena_new(SIZE_MAX);
	struct str key = arena_lower(arena, address);
	struct secrets s;

	bool ok =
		make_secrets(password, &s, f) &&
		db_run(a->db, f,
			"UPDATE accounts SET hash=?, salt=?, stored_key=?,"
			" server_key=?, stored_key_sha1=?,"
			" server_key_sha1=?, iterations=? WHERE address=?",
			"tbbbbbit", str_from(s.hash),
			str_of(s.salt, sizeof(s.salt)),
			stored_key(&s, SCRAM_SHA256),
			server_key(&s, SCRAM_SHA256),
			stored_key(&s, SCRAM_SHA1), server_key(&s, SCRAM_SHA1),
			(int64_t)SCRAM_ITERATIONS, key) &&
		must_exist(a, key, f);
	arena_free(arena);
	return ok;
}

bool account_complete(struct accounts *a, const struct account *account,
	struct str password, struct fault *f)
{
	struct scram_keys keys;
	size_t n = scram_key_bytes(SCRAM_SHA1);

	if (str_present(account->scram[SCRAM_SHA1].stored_key))
		return true;
	scram_keys_make(SCRAM_SHA1, password, account->scram_salt,
		account->iterations, &keys);
	return db_run(a->db, f,
		"UPDATE accounts SET stored_key_sha1=?, server_key_sha1=?"
		" WHERE id=? AND hash=?",
		"bbit", str_of(keys.stored_key, n), str_of(keys.server_key, n),
		account->id, account->hash);
}

bool account_del(struct accounts *a, struct str address, struct fault *f)
{
	struct arena *arena = arena_new(SIZE_MAX);
	struct str key = arena_lower(arena, address);

	bool ok = db_run(a->db, f, "DELETE FROM accounts WHERE address=?", "t",
			  key) &&
		  must_exist(a, key, f);
	arena_free(arena);
	return ok;
}

bool account_each(struct accounts *a, void (*fn)(struct str address, void *ctx),
	void *ctx, struct fault *f)
{
	sqlite3_stmt *s = db_query(a->db, f,
		"SELECT address FROM accounts ORDER BY domain, address", "");
	int r;

	while ((r = db_step(a->db, s, f)) > 0)
		fn(db_text(s, 0), ctx);
	return r == 0;
}
