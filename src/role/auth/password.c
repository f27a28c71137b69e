/* SPDX-License-Identifier: ISC */
/* PLAIN (RFC 4616), LOGIN, and EXTERNAL (RFC 4422 A). */
#include <openssl/crypto.h>
#include <string.h>

#include "base/must.h"
#include "role/auth/auth.h"
#include "sys/clock.h"
#include "sys/crypto.h"

static void complete(struct auth *auth, struct exchange *x, struct str password)
{
	struct fault f;

	if (str_present(x->account.scram[SCRAM_SHA1].stored_key))
		return;
	pthread_mutex_lock(&auth->lock);
	if (!account_complete(auth->accounts, &x->account, password, &f))
		log_warn("account not completed",
			log_s("login", x->account.address), log_fault(&f));
	pthread_mutex_unlock(&auth->lock);
}

/* Names the attempt without keeping it. */
static uint64_t name_attempt(
	const struct auth *auth, struct str user, struct str password)
{
	struct buf both CLEANUP(buf_fini);
	unsigned char sum[SCRAM_KEY_MAX];
	uint64_t name;

	buf_init(&both, user.len + password.len + 1);
	buf_reserve(&both, user.len + password.len + 1);
	buf_put(&both, user);
	buf_putc(&both, '\0');
	buf_put(&both, password);
	scram_hmac(SCRAM_SHA256, str_of(auth->secret, sizeof(auth->secret)),
		buf_str(&both), sum);
	OPENSSL_cleanse(both.data, both.len);
	memcpy(&name, sum, sizeof(name));
	return name;
}

static bool check_password(struct ipc_session *s, struct str authzid,
	struct str user, struct str password)
{
	struct auth *auth = s->role_ctx;
	struct exchange *x = s->own;
	struct fault f;

	if (auth_find(auth, x, user, &f) == ACCOUNT_ERROR)
		return ipc_answer_fault(s, &f);
	x->tried = name_attempt(auth, user, password);
	int64_t now = clock_mono_ms() / 1000;
	bool before = x->known &&
		      verified_has(auth->verified, &x->account, password, now);
	bool ok = before ||
		  account_verify(x->known ? &x->account : NULL, password);
	if (ok && !before)
		verified_put(auth->verified, &x->account, password, now);
	/* RFC 4616 2: to act for others is not given to anybody. */
	if (authzid.len > 0 && !str_ieq(authzid, user))
		ok = false;
	if (!ok)
		return auth_refused(s);
	complete(auth, x, password);
	return auth_done(s, &x->account, STR_NONE);
}

bool auth_step_plain(struct ipc_session *s, struct str response)
{
	struct sasl_plain p;

	if (!sasl_plain_parse(response, &p))
		return auth_broken(s);
	return check_password(s, p.authzid, p.authcid, p.password);
}

bool auth_step_login(struct ipc_session *s, struct str response)
{
	struct exchange *x = s->own;

	if (x->step++ == 0) {
		x->user = arena_str(x->a, response);
		return auth_more(s, STR("Password:"));
	}
	if (x->user.len == 0 || response.len == 0)
		return auth_broken(s);
	return check_password(s, STR_NONE, x->user, response);
}

/* The certificate has been checked by TLS; its addresses are the names that
 * its holder may take.  response: the one he wants, or empty. */
bool auth_step_external(struct ipc_session *s, struct str response)
{
	struct auth *auth = s->role_ctx;
	struct exchange *x = s->own;
	struct str rest = x->certificate, address;
	struct fault f;

	while (str_present(address = str_word(&rest, " "))) {
		if (response.len > 0 && !str_ieq(response, address))
			continue;
		enum account_result r = auth_find(auth, x, address, &f);

		if (r == ACCOUNT_ERROR)
			return ipc_answer_fault(s, &f);
		if (r == ACCOUNT_FOUND)
			return auth_done(s, &x->account, STR_NONE);
	}
	return auth_refused(s);
}
