/* SPDX-License-Identifier: ISC */
/* The role: exchanges and look-ups by ipc. */
#include "role/auth/auth.h"
#include "net/web.h"

#include <openssl/crypto.h>
#include <stdlib.h>

#include "base/must.h"
#include "codec/postfix/value.h"
#include "store/usage.h"
#include "sys/clock.h"

bool auth_more(struct ipc_session *s, struct str challenge)
{
	struct exchange *x = s->own;
	struct buf b CLEANUP(buf_fini);

	x->more = true;
	buf_init(&b, 65536);
	wire_put_str(&b, challenge);
	return ipc_answer(s, IPC_MORE, buf_str(&b), -1);
}

bool auth_done(
	struct ipc_session *s, const struct account *account, struct str text)
{
	struct buf b CLEANUP(buf_fini);

	buf_init(&b, 65536);
	wire_put_str(&b, account->address);
	wire_put_u64(&b, (uint64_t)account->id);
	wire_put_str(&b, text);
	return ipc_answer(s, IPC_OK, buf_str(&b), -1);
}

bool auth_broken(struct ipc_session *s)
{
	struct fault f;

	fault_set(&f, FAULT_PERM, 501, 5, 2, "malformed authentication data");
	return ipc_answer_fault(s, &f);
}

bool auth_refused(struct ipc_session *s)
{
	struct auth *auth = s->role_ctx;
	struct exchange *x = s->own;
	struct fault f;

	log_info("login failed", log_s("client", x->client));
	if (failures_add(
		    auth->failures, &x->net, x->tried, clock_mono_ms() / 1000))
		log_warn("limit exceeded",
			log_z("limit", "login_failure_limit"),
			log_s("client", x->client));
	/* RFC 4954 6: never says whether it was the name or the password. */
	fault_set(&f, FAULT_PERM, 535, 7, 8,
		"authentication credentials invalid");
	return ipc_answer_fault(s, &f);
}

enum account_result auth_find(
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

static bool step(struct ipc_session *s, struct str response)
{
	static auth_step_f *const steps[] = {
		[SASL_SCRAM] = auth_step_scram,
		[SASL_EXTERNAL] = auth_step_external,
		[SASL_OAUTHBEARER] = auth_step_oauthbearer,
		[SASL_XOAUTH2] = auth_step_xoauth2,
		[SASL_PLAIN] = auth_step_plain,
		[SASL_LOGIN] = auth_step_login,
	};
	struct exchange *x = s->own;

	x->more = false;
	return steps[x->mechanism->kind](s, response);
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

static struct client_net net_of(struct auth *auth, struct exchange *x)
{
	const struct conf *c = auth->role->conf;
	unsigned char bytes[16];
	size_t len;
	struct fault f;
	struct client_net net = {0};

	if (!address_parse(x->client, bytes, &len) ||
		match_address(auth->exceptions, bytes, len, x->client, x->a,
			&f) == TABLE_FOUND)
		return net;
	int64_t prefix = len == 4 ? c->smtpd_client_ipv4_prefix_length
				  : c->smtpd_client_ipv6_prefix_length;
	net.len = (unsigned char)len;
	for (size_t i = 0; i < len; i++, prefix -= 8)
		net.bytes[i] = prefix >= 8 ? bytes[i]
			       : prefix <= 0
				       ? 0
				       : (unsigned char)(bytes[i] &
							 0xff << (8 - prefix));
	return net;
}

static bool too_many(struct ipc_session *s)
{
	struct auth *auth = s->role_ctx;
	struct exchange *x = s->own;
	struct fault f;

	log_info("login refused", log_s("client", x->client),
		log_z("reason", "too many failed logins"));
	fault_set(&f, FAULT_TEMP, 454, 7, 0,
		"too many failed logins; the next is possible in %lld s at "
		"most",
		(long long)auth->role->conf->login_failure_window);
	return ipc_answer_fault(s, &f);
}

static bool start(struct ipc_session *s, struct wire *w)
{
	struct auth *auth = s->role_ctx;
	const struct sasl_mechanism *mechanism =
		sasl_mechanism_find(wire_str(w));
	struct str initial = wire_str(w);
	struct str client = wire_str(w);
	struct str exporter = wire_str(w);
	struct str end_point = wire_str(w);
	bool offered = wire_u8(w) != 0;
	struct str certificate = wire_str(w);

	if (!wire_ok(w) || mechanism == NULL)
		return false;
	forget(s);
	struct exchange *x = must_alloc(sizeof(*x));
	s->own = x;
	x->mechanism = mechanism;
	x->a = arena_new(SIZE_MAX);
	x->client = arena_str(x->a, client);
	x->exporter = arena_str(x->a, exporter);
	x->end_point = arena_str(x->a, end_point);
	x->certificate = arena_str(x->a, certificate);
	x->plus_offered = offered;
	x->net = net_of(auth, x);
	/* No guess is looked at, right or wrong, and nothing is hashed. */
	if (failures_over(auth->failures, &x->net, clock_mono_ms() / 1000))
		return too_many(s);
	if (!str_present(initial))
		return auth_more(s, mechanism->kind == SASL_LOGIN
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

static bool list_domain(struct ipc_session *s, struct wire *w)
{
	struct auth *auth = s->role_ctx;
	struct str domain = wire_str(w);
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct buf b CLEANUP(buf_fini);
	int64_t *ids;
	size_t n;
	struct fault f;

	if (!wire_ok(w))
		return false;
	pthread_mutex_lock(&auth->lock);
	bool ok = account_ids_of(auth->accounts, domain, a, &ids, &n, &f);
	pthread_mutex_unlock(&auth->lock);
	if (!ok)
		return ipc_answer_fault(s, &f);
	buf_init(&b, IPC_PAYLOAD_MAX);
	wire_put_u32(&b, (uint32_t)n);
	for (size_t i = 0; i < n; i++)
		wire_put_u64(&b, (uint64_t)ids[i]);
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
	else if (frame->type == IPC_ACCOUNTS_OF)
		ok = list_domain(s, &w);
	else if (frame->type == IPC_ACCOUNT_SPEND)
		ok = auth_spend(s, &w);
	if (s->own != NULL && !((struct exchange *)s->own)->more)
		forget(s);
	/* The frame may have held a password. */
	if (frame->payload.len > 0)
		OPENSSL_cleanse(frame->payload.data, frame->payload.len);
	return ok;
}

int role_auth(struct role *r)
{
	static const struct ipc_handlers handlers = {handle, forget};
	struct auth *auth = must_alloc(sizeof(*auth));
	struct problems ignored = {.a = r->a};
	struct fault f;

	auth->role = r;
	random_fill(auth->secret, sizeof(auth->secret));
	pthread_mutex_init(&auth->lock, NULL);
	pthread_mutex_init(&auth->usage_lock, NULL);
	auth->failures = failures_new(
		r->conf->login_failure_limit, r->conf->login_failure_window);
	auth->verified = verified_new(r->conf->login_cache_time);
	auth->exceptions = match_list_new(r->tables, r->conf,
		"smtpd_client_event_limit_exceptions",
		r->conf->smtpd_client_event_limit_exceptions, MATCH_ADDRESSES,
		false, &ignored);
	role_may_read_tables(r, r->conf->smtpd_client_event_limit_exceptions);
	role_may_write(r, arena_printf(r->a, "%.*s/accounts",
				  STR_ARG(r->conf->data_directory)));
	auth->accounts =
		accounts_open(arena_cstr(r->a, r->conf->data_directory), &f);
	auth->usage = usage_open(arena_cstr(r->a, r->conf->data_directory), &f);
	if (auth->accounts == NULL || auth->usage == NULL)
		role_die(r, &f);
	bool tokens = r->conf->oauth2_introspection_url.len > 0;
	if (tokens) {
		role_resolver(r);
		role_may_read(r, STR("/etc/ssl"));
		role_may_read(r, STR("/etc/resolv.conf"));
		role_may_read_dir(r, r->conf->oauth2_tls_CAfile);
		role_may_read_dir(r, r->conf->oauth2_client_secret);
		web_init();
	}
	role_sandbox(r, tokens);
	r->crew = crew_new(16);
	ipc_serve(r->crew, r->ipc_fd, &handlers, auth);
	return role_run(r, 500);
}
