/* SPDX-License-Identifier: ISC */
/* SCRAM: RFC 5802 3 and 5, RFC 7677. */
#include "base/must.h"
#include "codec/mail/base64.h"
#include "role/auth/auth.h"
#include "sys/clock.h"

/* An unknown user gets a salt that is always the same for that name, so that
 * asking twice tells nothing. */
static struct str fake_salt(struct ipc_session *s)
{
	const struct auth *auth = s->role_ctx;
	struct exchange *x = s->own;
	unsigned char sum[SCRAM_KEY_MAX];

	scram_hmac(SCRAM_SHA256, str_of(auth->secret, sizeof(auth->secret)),
		x->first.user, sum);
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

	if (x->mechanism->plus)
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
		(x->first.binding == 'p') != x->mechanism->plus ||
		(x->mechanism->plus && !str_present(binding_data(x))))
		return auth_broken(s);
	if (x->first.binding == 'y' && x->plus_offered) {
		log_warn("login failed: somebody hides SCRAM-SHA-256-PLUS "
			 "from the client",
			log_s("client", x->client));
		return auth_refused(s);
	}
	if (auth_find(s->role_ctx, x, x->first.user, &f) == ACCOUNT_ERROR)
		return ipc_answer_fault(s, &f);
	if (x->known &&
		!str_present(
			x->account.scram[x->mechanism->digest].stored_key)) {
		log_info("no SCRAM-SHA-1 keys yet: the account is older than "
			 "they are; they are made at its next login with "
			 "PLAIN or LOGIN, or when its password is set",
			log_s("login", x->account.address));
		x->known = false;
	}
	random_fill(nonce, sizeof(nonce));
	x->nonce = arena_concat(x->a, x->first.nonce,
		base64_encode_a(str_of(nonce, sizeof(nonce)), x->a));
	struct str salt = x->known ? x->account.scram_salt : fake_salt(s);
	x->server_first = arena_printf(x->a, "r=%.*s,s=%.*s,i=%lld",
		STR_ARG(x->nonce), STR_ARG(base64_encode_a(salt, x->a)),
		(long long)(x->known ? x->account.iterations
				     : SCRAM_ITERATIONS));
	return auth_more(s, x->server_first);
}

/* RFC 5802 3: ClientKey = ClientProof XOR ClientSignature */
static bool proof_fits(struct exchange *x, const struct scram_client_final *fin,
	struct str message)
{
	enum scram_digest d = x->mechanism->digest;
	struct str key = x->account.scram[d].stored_key;
	unsigned char signature[SCRAM_KEY_MAX], stored[SCRAM_KEY_MAX];
	size_t n = scram_key_bytes(d);
	struct str proof;

	if (!base64_decode(fin->proof, x->a, &proof) || proof.len != n)
		return false;
	scram_hmac(d, key, message, signature);
	for (size_t i = 0; i < n; i++)
		signature[i] ^= (unsigned char)proof.ptr[i];
	scram_hash(d, str_of(signature, n), stored);
	return str_eq_secret(str_of(stored, n), key);
}

static bool scram_final(struct ipc_session *s, struct str response)
{
	struct exchange *x = s->own;
	enum scram_digest d = x->mechanism->digest;
	struct scram_client_final fin;
	unsigned char signature[SCRAM_KEY_MAX];

	if (!scram_client_final_parse(response, &fin) ||
		!str_eq(fin.channel, channel(x)) ||
		!str_eq(fin.nonce, x->nonce))
		return auth_broken(s);
	struct str message =
		arena_printf(x->a, "%.*s,%.*s,%.*s", STR_ARG(x->first.bare),
			STR_ARG(x->server_first), STR_ARG(fin.without_proof));
	bool ok = x->known && proof_fits(x, &fin, message);
	/* mbsync names itself twice; nobody may act for somebody else. */
	if (str_present(x->first.authzid) &&
		!str_ieq(x->first.authzid, x->first.user))
		ok = false;
	if (!ok)
		return auth_refused(s);
	scram_hmac(d, x->account.scram[d].server_key, message, signature);
	struct str final = arena_printf(x->a, "v=%.*s",
		STR_ARG(base64_encode_a(
			str_of(signature, scram_key_bytes(d)), x->a)));
	return auth_done(s, &x->account, final);
}

bool auth_step_scram(struct ipc_session *s, struct str response)
{
	struct exchange *x = s->own;

	return x->step++ == 0 ? scram_first(s, response)
			      : scram_final(s, response);
}
