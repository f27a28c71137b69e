/* SPDX-License-Identifier: ISC */
/* OAUTHBEARER (RFC 7628) and XOAUTH2: a token instead of a password. */
#include "role/auth/auth.h"

/* RFC 7628 3.2.2: the client is told why, answers with a byte, and fails. */
static bool refuse(struct ipc_session *s)
{
	struct exchange *x = s->own;

	x->refused = true;
	return auth_more(s, x->mechanism->kind == SASL_XOAUTH2
				    ? STR("{\"status\":\"401\","
					  "\"schemes\":\"bearer\"}")
				    : STR("{\"status\":\"invalid_token\"}"));
}

static bool check_token(struct ipc_session *s, const struct sasl_token *token)
{
	struct auth *auth = s->role_ctx;
	struct exchange *x = s->own;
	struct str user;
	struct fault f;

	switch (introspect_token(auth->role, token->token, x->a, &user, &f)) {
	case TOKEN_ERROR:
		return ipc_answer_fault(s, &f);
	case TOKEN_INACTIVE:
		return refuse(s);
	case TOKEN_ACTIVE:
		break;
	}
	/* A token speaks for its owner, whoever the client says it is. */
	if (str_present(token->user) && !str_ieq(token->user, user))
		return refuse(s);
	switch (auth_find(auth, x, user, &f)) {
	case ACCOUNT_ERROR:
		return ipc_answer_fault(s, &f);
	case ACCOUNT_NONE:
		return refuse(s);
	case ACCOUNT_FOUND:
		break;
	}
	return auth_done(s, &x->account, STR_NONE);
}

static bool after_refusal(struct ipc_session *s)
{
	const struct exchange *x = s->own;

	return x->refused;
}

bool auth_step_oauthbearer(struct ipc_session *s, struct str response)
{
	struct exchange *x = s->own;
	struct sasl_token token;

	if (after_refusal(s))
		return auth_refused(s);
	return oauthbearer_parse(response, x->a, &token)
		       ? check_token(s, &token)
		       : auth_broken(s);
}

bool auth_step_xoauth2(struct ipc_session *s, struct str response)
{
	struct sasl_token token;

	if (after_refusal(s))
		return auth_refused(s);
	return xoauth2_parse(response, &token) ? check_token(s, &token)
					       : auth_broken(s);
}
