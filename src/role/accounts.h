/* SPDX-License-Identifier: ISC */
#ifndef ROLE_ACCOUNTS_H
#define ROLE_ACCOUNTS_H

/*
 * accounts: what other roles ask the auth role.
 */

#include "conf/table.h"
#include "ipc/ipc.h"
#include "role/accounts_cache.h"
#include "store/usage.h"

/* The directory as a role sees it: auth, and what it answered before. */
struct accounts_directory {
	struct ipc_client *auth;
	struct accounts_cache *cache;
};

/* The accounts: table, see conf/table.h; ctx: struct accounts_directory.
 * user@domain gives the account's id, a domain "1" when it has accounts. */
enum table_result accounts_table_lookup(struct str key, struct arena *a,
	struct str *value_r, struct fault *f, void *ctx);
/* The id of an account. */
enum table_result accounts_id(struct accounts_directory *d, struct str address,
	struct arena *a, int64_t *id_r, struct fault *f);

/* The ids of all accounts of a domain; in the arena. */
bool accounts_of(struct accounts_directory *d, struct str domain,
	struct arena *a, int64_t **ids_r, size_t *n_r, struct fault *f);

/* Counts a message of an account in: store/usage.h. */
bool accounts_spend(struct ipc_client *auth, int64_t account,
	const struct strs *recipients, const struct usage_limits *limits,
	struct usage_result *result_r, struct fault *f);

/* ---- SASL: one conversation ---- */

enum auth_result {
	AUTH_DONE, /* login_r, id_r; text_r: SCRAM's server-final, or absent */
	AUTH_CONTINUE, /* text_r: the challenge */
	AUTH_REFUSED,
	AUTH_BROKEN, /* the client's message is malformed */
	AUTH_TEMP,
};

/* What the client is told of the session's TLS: RFC 5802 6. */
struct auth_binding {
	struct str exporter, end_point; /* net/tls_binding.h */
	bool offered; /* a -PLUS mechanism was on offer */
	struct str certificate; /* addresses in the client's, by blanks */
};

struct auth_talk {
	struct ipc_client *auth;
	int sock; /* -1: not begun */
	bool over; /* auth has said its last word */
	struct arena *a;
};

void auth_talk_init(
	struct auth_talk *t, struct ipc_client *auth, struct arena *a);
void auth_talk_fini(struct auth_talk *t);
/* initial: the client's first message; absent: ask for it.  binding: NULL
 * without TLS. */
enum auth_result auth_start(struct auth_talk *t, const char *mechanism,
	struct str initial, struct str client,
	const struct auth_binding *binding, struct str *text_r,
	struct str *login_r, int64_t *id_r, struct fault *f);
enum auth_result auth_step(struct auth_talk *t, struct str response,
	struct str *text_r, struct str *login_r, int64_t *id_r,
	struct fault *f);

#endif
