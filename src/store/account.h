/* SPDX-License-Identifier: ISC */
#ifndef STORE_ACCOUNT_H
#define STORE_ACCOUNT_H

/*
 * account: the built-in account directory, $data_directory/accounts/.
 *
 * Addresses are kept in lower case.  A password is stored as a yescrypt hash
 * (crypt(5)) and as SCRAM verifiers (RFC 5802 3, RFC 7677): neither gives the
 * password back.  Opened by the auth role and by `postern user`.
 * One thread at a time per handle.
 */

#include "base/arena.h"
#include "base/fault.h"
#include "sys/crypto.h"

struct accounts;

struct accounts *accounts_open(const char *data_dir, struct fault *f);
/* Those that are there, as they are: nothing is made or brought up to date, and
 * what changes may not be called.  NULL: there are none (FAULT_PERM), or they
 * cannot be read. */
struct accounts *accounts_open_to_read(const char *data_dir, struct fault *f);
void accounts_close(struct accounts *a);

enum { SCRAM_SALT_BYTES = 16, SCRAM_ITERATIONS = 4096 };

struct account {
	int64_t id;
	struct str address;
	struct str hash; /* crypt(5) */
	struct str scram_salt;
	struct {
		struct str stored_key, server_key; /* absent: not made yet */
	} scram[SCRAM_DIGESTS];
	int64_t iterations;
};

enum account_result { ACCOUNT_FOUND, ACCOUNT_NONE, ACCOUNT_ERROR };

enum account_result account_get(struct accounts *a, struct str address,
	struct arena *arena, struct account *account_r, struct fault *f);
/* Has any account this domain? */
enum account_result account_domain(
	struct accounts *a, struct str domain, struct fault *f);

/* The ids of all accounts of a domain; in the arena. */
bool account_ids_of(struct accounts *a, struct str domain, struct arena *arena,
	int64_t **ids_r, size_t *n_r, struct fault *f);

/* FAULT_PERM when it is there already (add) or is not (the others). */
bool account_add(struct accounts *a, struct str address, struct str password,
	struct fault *f);
bool account_passwd(struct accounts *a, struct str address, struct str password,
	struct fault *f);
/* Verifiers that an account of an older version lacks, made of its password,
 * which the caller has verified. */
bool account_complete(struct accounts *a, const struct account *account,
	struct str password, struct fault *f);
bool account_del(struct accounts *a, struct str address, struct fault *f);
bool account_each(struct accounts *a, void (*fn)(struct str address, void *ctx),
	void *ctx, struct fault *f);

/* Does the password fit?  Takes as long for a NULL account. */
bool account_verify(const struct account *account, struct str password);

#endif
