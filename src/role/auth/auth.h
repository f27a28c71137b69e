/* SPDX-License-Identifier: ISC */
#ifndef ROLE_AUTH_AUTH_H
#define ROLE_AUTH_AUTH_H

/*
 * auth: the account directory and the only process that reads password
 * hashes.  A conversation is SASL exchanges, one behind the other, or a row of
 * look-ups; the state of an exchange ends with its last word.
 */

#include <pthread.h>

#include "codec/sasl/mechanisms.h"
#include "conf/match.h"
#include "role/auth/failures.h"
#include "role/auth/verified.h"
#include "role/ipc_server.h"
#include "role/role.h"
#include "store/account.h"

struct auth {
	struct role *role;
	pthread_mutex_t lock; /* accounts: one thread at a time */
	struct accounts *accounts;
	pthread_mutex_t usage_lock; /* the same for usage */
	struct usage *usage;
	unsigned char secret[16]; /* salts of unknown users come from it */
	struct failures *failures;
	struct verified *verified; /* passwords, of late */
	struct match_list *exceptions; /* clients that are not counted */
};

/* One SASL exchange: the ipc session's own. */
struct exchange {
	const struct sasl_mechanism *mechanism;
	int step;
	bool more; /* the client was asked for another response */
	struct arena *a;
	struct str client; /* for the log */
	struct client_net net;
	uint64_t tried; /* name and password, for failures; 0: none */
	struct str user; /* LOGIN */
	struct scram_client_first first;
	bool plus_offered;
	struct str exporter, end_point; /* absent: not to be had */
	struct str certificate; /* addresses in the client's, by blanks */
	struct str server_first;
	struct str nonce;
	bool refused; /* OAuth: the client has been told why */
	bool known;
	struct account account;
};

/* The next word of the exchange; each returns what ipc_answer does. */
bool auth_more(struct ipc_session *s, struct str challenge);
/* text: SCRAM's last word; absent without */
bool auth_done(
	struct ipc_session *s, const struct account *account, struct str text);
bool auth_broken(struct ipc_session *s);
bool auth_refused(struct ipc_session *s);
enum account_result auth_find(struct auth *auth, struct exchange *x,
	struct str user, struct fault *f);

/* One step of a mechanism: the client's response. */
typedef bool auth_step_f(struct ipc_session *s, struct str response);
auth_step_f auth_step_plain, auth_step_login, auth_step_external; /* password.c
								   */
auth_step_f auth_step_scram; /* scram.c */
auth_step_f auth_step_oauthbearer, auth_step_xoauth2; /* oauth.c */

/* usage.c: IPC_ACCOUNT_SPEND */
bool auth_spend(struct ipc_session *s, struct wire *w);

/* introspect.c: whose token is it?  RFC 7662. */
enum token_result { TOKEN_ACTIVE, TOKEN_INACTIVE, TOKEN_ERROR };
enum token_result introspect_token(struct role *r, struct str token,
	struct arena *a, struct str *user_r, struct fault *f);

#endif
