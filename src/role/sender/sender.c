/* SPDX-License-Identifier: ISC */
/* The sender role: threads that relay, each with one message in hand. */
#include "role/sender/sender.h"
#include "role/sender/connections.h"

#include "base/must.h"
#include "codec/postfix/lines.h"
#include "net/tls.h"
#include "net/tls_cache.h"
#include "policy/dkim_sign.h"
#include "policy/mta_sts.h"

enum { THREADS_MAX = 10000 };

/* postconf(5) smtp_tls_session_cache_timeout: 0 is off, else 2 min to 100 d */
static int64_t session_lifetime(int64_t seconds)
{
	return seconds <= 0        ? 0
	       : seconds < 120     ? 120
	       : seconds > 8640000 ? 8640000
				   : seconds;
}

static SSL_CTX *client_ctx(
	const struct sender *s, bool mandatory, struct fault *f)
{
	const struct conf *c = s->role->conf;
	struct tls_trust trust = {c->smtp_tls_CAfile, c->smtp_tls_CApath,
		mandatory ? c->smtp_tls_mandatory_protocols
			  : c->smtp_tls_protocols,
		tls_options_smtp(c, mandatory), &s->own};

	return tls_client_ctx(&trust, f);
}

static const char *path_or_none(struct str path, struct arena *a)
{
	return path.len > 0 ? arena_cstr(a, path) : NULL;
}

int role_sender(struct role *r)
{
	struct sender *s = arena_make(r->a, struct sender);
	const struct conf *c = r->conf;
	struct problems ignored = {.a = r->a};
	const struct str lists[] = {c->smtp_generic_maps,
		c->smtp_sasl_password_maps, c->smtp_tls_policy_maps,
		c->mydestination, c->dkim_signing_table};
	struct fault f;

	s->role = r;
	role_resolver(r);
	s->policy = policy_new(c, r->tables, r->resolver, &ignored);
	s->keyring = dkim_keyring_new(c->dkim_key_directory, r->resolver);
	s->signer = dkim_signer_new(c, r->tables, s->keyring, &ignored);
	s->sealed_headers = list_items(c->dkim_sign_headers, r->a);
	strs_add(&s->sealed_headers, r->a, STR("DKIM-Signature"));
	role_may_read(r, c->dkim_key_directory);
	if (c->smtp_tls_mta_sts) {
		struct str dir = arena_printf(
			r->a, "%.*s/mta-sts", STR_ARG(c->data_directory));

		s->sts = mta_sts_new(r->resolver, dir.ptr,
			path_or_none(c->smtp_tls_CAfile, r->a),
			path_or_none(c->smtp_tls_CApath, r->a));
		role_may_write(r, dir);
		role_may_read(r, STR("/etc/ssl"));
		web_init();
	}
	tls_pairs_paths(
		&(struct tls_pairs){c->smtp_tls_chain_files,
			c->smtp_tls_cert_file, c->smtp_tls_key_file,
			c->smtp_tls_eccert_file, c->smtp_tls_eckey_file},
		r->a, &s->own);
	s->tls = client_ctx(s, false, &f);
	s->tls_mandatory = s->tls != NULL ? client_ctx(s, true, &f) : NULL;
	s->sessions = tls_cache_new(
		session_lifetime(c->smtp_tls_session_cache_timeout));
	if (s->tls_mandatory == NULL)
		role_die(r, &f);
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		role_may_read_tables(r, lists[i]);
	role_may_read_dir(r, c->smtp_tls_CAfile);
	for (size_t i = 0; i < s->own.n; i++)
		role_may_read_dir(r, str_from(s->own.v[i]));
	role_may_read(r, c->smtp_tls_CApath);
	sender_load_content(s);
	role_sandbox(r, true);
	s->connections =
		connections_new(c->smtp_connection_cache_time_limit * 1000);
	int64_t processes = c->sender_processes > 0 ? c->sender_processes : 1;
	int64_t threads = (c->default_process_limit + c->smtp_unanswered_limit +
				  processes - 1) /
			  processes;
	agent_start(r, AGENT_SENDER,
		threads < 1             ? 1
		: threads > THREADS_MAX ? THREADS_MAX
					: (unsigned)threads,
		sender_deliver, s);
	return role_run(r, 1000);
}
