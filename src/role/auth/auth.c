/* SPDX-License-Identifier: ISC */
/*
 * The auth role: the account directory and the only process that reads
 * password hashes.  Each conversation is one SASL exchange or a row of
 * look-ups; state lives in the conversation and ends with it.
 */
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "codec/mail/base64.h"
#include "codec/sasl/sasl.h"
#include "role/ipc_server.h"
#include "role/role.h"
#include "store/account.h"
#include "sys/clock.h"

struct auth {
	struct role *role;
	pthread_mutex_t lock; /* accounts: one thread at a time */
	struct accounts *accounts;
	unsigned char secret[16]; /* salts of unknown users come from it */
};

enum mechanism { MECH_PLAIN, MECH_LOGIN, MECH_SCRAM, MECH_NONE };

/* One SASL exchange. */
struct exchange {
	enum mechanism mechanism;
	int step;
	struct arena *a;
	struct str client; /* for the log */
	struct str user; /* LOGIN */
	struct scram_client_first first;
	bool plus; /* SCRAM-SHA-256-PLUS: bound to the TLS session */
	bool plus_offered;
	struct str exporter, end_point; /* absent: not to be had */
	struct str server_first;
	struct str nonce;
	bool known;
	struct account account;
};

static bool answer_more(struct ipc_session *s, struct str challenge)
{
	struct buf b CLEANUP(buf_fini);

	buf_init(&b, 65536);
	wire_put_str(&b, challenge);
	return ipc_answer(s, IPC_MORE, buf_str(&b), -1);
}

static bool answer_done(
	struct ipc_session *s, const struct account *account, struct str text)
{
	struct buf b CLEANUP(buf_fini);

	buf_init(&b, 65536);
	wire_put_str(&b, account->address);
	wire_put_u64(&b, (uint64_t)account->id);
	wire_put_str(&b, text);
	return ipc_answer(s, IPC_OK, buf_str(&b), -1);
}

static bool answer_broken(struct ipc_session *s)
{
	struct fault f;

	fault_set(&f, FAULT_PERM, 501, 5, 2, "malformed authentication data");
	return ipc_answer_fault(s, &f);
}

static bool answer_refused(struct ipc_session *s)
{
	struct exchange *x = s->own;
	struct fault f;

	log_info("login failed", log_s("client", x->client));
	/* RFC 4954 6: never says whether it was the name or the password. */
	fault_set(&f, FAULT_PERM, 535, 7, 8,
		"authentication credentials invalid");
	return ipc_answer_fault(s, &f);
}

static enum account_result find(
	struct auth *auth, struct exchange *x, struct str user, struct fault *f)
{
	struct str local_domain = auth->role->conf->smtpd_sasl_local_domain;

	if (str_find(user, '@') < 0 && local_domain.len > 0)
		user = arena_printf(x->a, "%.*s@%.*s", STR_ARG(user),
			STR_ARG(local_domain));
	pthread_mutex_lock(&auth->lock);
	enum account_result r =
		account_get(auth->accounts, user, x->a, &x->account, f);
	pthread_mutex_unlock(&auth->lock);
	x->known = r == ACCOUNT_FOUND;
	return r;
}

static bool check_password(struct ipc_session *s, struct str authzid,
	struct str user, struct str password)
{
	struct auth *auth = s->role_ctx;
	struct exchange *x = s->own;
	struct fault f;

	if (find(auth, x, user, &f) == ACCOUNT_ERROR)
		return ipc_answer_fault(s, &f);
	bool ok = account_verify(x->known ? &x->account : NULL, password);
	/* RFC 4616 2: to act for others is not given to anybody. */
	if (authzid.len > 0 && !str_ieq(authzid, user))
		ok = false;
	if (!ok)
		return answer_refused(s);
	return answer_done(s, &x->account, STR_NONE);
}

static bool step_plain(struct ipc_session *s, struct str response)
{
	struct sasl_plain p;

	if (!sasl_plain_parse(response, &p))
		return answer_broken(s);
	return check_password(s, p.authzid, p.authcid, p.password);
}

static bool step_login(struct ipc_session *s, struct str response)
{
	struct exchange *x = s->own;

	if (x->step++ == 0) {
		x->user = arena_str(x->a, response);
		return answer_more(s, STR("Password:"));
	}
	if (x->user.len == 0 || response.len == 0)
		return answer_broken(s);
	return check_password(s, STR_NONE, x->user, response);
}

/* An unknown user gets a salt that is always the same for that name, so that
 * asking twice tells nothing. */
static struct str fake_salt(struct ipc_session *s)
{
	const struct auth *auth = s->role_ctx;
	struct exchange *x = s->own;
	unsigned char sum[SCRAM_KEY_BYTES];

	scram_hmac(
		str_of(auth->secret, sizeof(auth->secret)), x->first.user, sum);
	return arena_str(x->a, str_of(sum, SCRAM_SALT_BYTES));
}

static struct str binding_data(const struct exchange *x)
{
	return str_eqc(x->first.binding_name, "tls-exporter") ? x->exporter
	       : str_eqc(x->first.binding_name, "tls-server-end-point")
		       ? x->end_point
		       : STR_NONE;
}

/* The c= attribute that the client must send: RFC 5802 7 */
static struct str channel(const struct exchange *x)
{
	struct str all = x->first.gs2;

	if (x->plus)
		all = arena_concat(x->a, all, binding_data(x));
	return base64_encode_a(all, x->a);
}

static bool scram_first(struct ipc_session *s, struct str response)
{
	struct exchange *x = s->own;
	unsigned char nonce[18];
	struct fault f;

	/* RFC 5802 6: -PLUS is bound, the other is not; and who says "you
	 * do not offer it" to a server that does has been lied to. */
	if (!scram_client_first_parse(
		    arena_str(x->a, response), x->a, &x->first) ||
		(x->first.binding == 'p') != x->plus ||
		(x->plus && !str_present(binding_data(x))))
		return answer_broken(s);
	if (x->first.binding == 'y' && x->plus_offered) {
		log_warn("login failed: somebody hides SCRAM-SHA-256-PLUS "
			 "from the client",
			log_s("client", x->client));
		return answer_refused(s);
	}
	if (find(s->role_ctx, x, x->first.user, &f) == ACCOUNT_ERROR)
		return ipc_answer_fault(s, &f);
	random_fill(nonce, sizeof(nonce));
	x->nonce = arena_concat(x->a, x->first.nonce,
		base64_encode_a(str_of(nonce, sizeof(nonce)), x->a));
	struct str salt = x->known ? x->account.scram_salt : fake_salt(s);
	x->server_first = arena_printf(x->a, "r=%.*s,s=%.*s,i=%lld",
		STR_ARG(x->nonce), STR_ARG(base64_encode_a(salt, x->a)),
		(long long)(x->known ? x->account.iterations
				     : SCRAM_ITERATIONS));
	return answer_more(s, x->server_first);
}

/* RFC 5802 3: ClientKey = ClientProof XOR ClientSignature */
static bool proof_fits(struct exchange *x, const struct scram_client_final *fin,
	struct str message)
{
	unsigned char signature[SCRAM_KEY_BYTES], stored[SCRAM_KEY_BYTES];
	struct str proof;

	if (!base64_decode(fin->proof, x->a, &proof) ||
		proof.len != SCRAM_KEY_BYTES)
		return false;
	scram_hmac(x->account.stored_key, message, signature);
	for (size_t i = 0; i < SCRAM_KEY_BYTES; i++)
		signature[i] ^= (unsigned char)proof.ptr[i];
	scram_hash(str_of(signature, sizeof(signature)), stored);
	return str_eq_secret(
		str_of(stored, sizeof(stored)), x->account.stored_key);
}

static bool scram_final(struct ipc_session *s, struct str response)
{
	struct exchange *x = s->own;
	struct scram_client_final fin;
	unsigned char signature[SCRAM_KEY_BYTES];

	if (!scram_client_final_parse(response, &fin) ||
		!str_eq(fin.channel, channel(x)) ||
		!str_eq(fin.nonce, x->nonce))
		return answer_broken(s);
	struct str message =
		arena_printf(x->a, "%.*s,%.*s,%.*s", STR_ARG(x->first.bare),
			STR_ARG(x->server_first), STR_ARG(fin.without_proof));
	bool ok = x->known && proof_fits(x, &fin, message);
	/* mbsync names itself twice; nobody may act for somebody else. */
	if (str_present(x->first.authzid) &&
		!str_ieq(x->first.authzid, x->first.user))
		ok = false;
	if (!ok)
		return answer_refused(s);
	scram_hmac(x->account.server_key, message, signature);
	struct str final = arena_printf(x->a, "v=%.*s",
		STR_ARG(base64_encode_a(
			str_of(signature, sizeof(signature)), x->a)));
	return answer_done(s, &x->account, final);
}

static bool step(struct ipc_session *s, struct str response)
{
	struct exchange *x = s->own;

	switch (x->mechanism) {
	case MECH_PLAIN:
		return step_plain(s, response);
	case MECH_LOGIN:
		return step_login(s, response);
	case MECH_SCRAM:
		return x->step++ == 0 ? scram_first(s, response)
				      : scram_final(s, response);
	case MECH_NONE:
		break;
	}
	return answer_broken(s);
}

static void forget(struct ipc_session *s)
{
	struct exchange *x = s->own;

	if (x == NULL)
		return;
	arena_free(x->a);
	free(x);
	s->own = NULL;
}

static bool start(struct ipc_session *s, struct wire *w)
{
	static const char *const names[] = {"PLAIN", "LOGIN", "SCRAM-SHA-256"};
	static const char plus[] = "SCRAM-SHA-256-PLUS";
	struct str mechanism = wire_str(w);
	struct str initial = wire_str(w);
	struct str client = wire_str(w);
	struct str exporter = wire_str(w);
	struct str end_point = wire_str(w);
	bool offered = wire_u8(w) != 0;

	if (!wire_ok(w))
		return false;
	forget(s);
	struct exchange *x = must_alloc(sizeof(*x));
	s->own = x;
	x->a = arena_new(SIZE_MAX);
	x->client = arena_str(x->a, client);
	x->exporter = arena_str(x->a, exporter);
	x->end_point = arena_str(x->a, end_point);
	x->plus_offered = offered;
	x->plus = str_ieqc(mechanism, plus);
	x->mechanism = x->plus ? MECH_SCRAM : MECH_NONE;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_ieqc(mechanism, names[i]))
			x->mechanism = (enum mechanism)i;
	if (!str_present(initial))
		return answer_more(s, x->mechanism == MECH_LOGIN
					      ? STR("Username:")
					      : STR(""));
	return step(s, initial);
}

static bool lookup(struct ipc_session *s, struct wire *w)
{
	struct auth *auth = s->role_ctx;
	struct str key = wire_str(w);
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct buf b CLEANUP(buf_fini);
	struct account account;
	struct fault f;
	bool address = str_find(key, '@') > 0;

	if (!wire_ok(w))
		return false;
	pthread_mutex_lock(&auth->lock);
	enum account_result r =
		address ? account_get(auth->accounts, key, a, &account, &f)
			: account_domain(auth->accounts, key, &f);
	pthread_mutex_unlock(&auth->lock);
	if (r == ACCOUNT_ERROR)
		return ipc_answer_fault(s, &f);
	buf_init(&b, 256);
	wire_put_u8(&b, r == ACCOUNT_FOUND);
	wire_put_str(
		&b, r != ACCOUNT_FOUND ? STR_NONE
		    : address ? arena_printf(a, "%lld", (long long)account.id)
			      : STR("1"));
	return ipc_answer(s, IPC_OK, buf_str(&b), -1);
}

static bool handle(struct ipc_session *s, struct ipc_frame *frame)
{
	struct wire w = {.rest = buf_str(&frame->payload)};
	bool ok = false;

	if (frame->type == IPC_AUTH_START)
		ok = start(s, &w);
	else if (frame->type == IPC_AUTH_STEP && s->own != NULL)
		ok = step(s, wire_str(&w));
	else if (frame->type == IPC_ACCOUNT)
		ok = lookup(s, &w);
	/* The frame may have held a password. */
	if (frame->payload.len > 0)
		OPENSSL_cleanse(frame->payload.data, frame->payload.len);
	return ok;
}

int role_auth(struct role *r)
{
	static const struct ipc_handlers handlers = {handle, forget};
	struct auth *auth = must_alloc(sizeof(*auth));
	struct fault f;

	auth->role = r;
	random_fill(auth->secret, sizeof(auth->secret));
	pthread_mutex_init(&auth->lock, NULL);
	role_may_write(r, arena_printf(r->a, "%.*s/accounts",
				  STR_ARG(r->conf->data_directory)));
	auth->accounts =
		accounts_open(arena_cstr(r->a, r->conf->data_directory), &f);
	if (auth->accounts == NULL)
		role_die(r, &f);
	role_sandbox(r, false);
	r->crew = crew_new(16);
	ipc_serve(r->crew, r->ipc_fd, &handlers, auth);
	return role_run(r, 500);
}
