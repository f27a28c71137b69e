/* SPDX-License-Identifier: ISC */
/* The sender role: threads that relay, each with one message in hand. */
#include "role/sender/sender.h"
#include "role/sender/auth_cache.h"
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

static const char *path_or_none(struct str path, struct arena *a)
{
	return path.len > 0 ? arena_cstr(a, path) : NULL;
}

int role_sender(struct role *r)
{
	struct sender *s = arena_make(r->a, struct sender);
	const struct conf *c = r->conf;
	struct problems ignored = {.a = r->a};
	const struct str lists[] = {c->mydestination, c->dkim_signing_table};

	s->role = r;
	role_resolver(r);
	sender_load_transports(s);
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
	s->sessions = tls_cache_new(
		session_lifetime(c->smtp_tls_session_cache_timeout));
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		role_may_read_tables(r, lists[i]);
	role_sandbox(r, true);
	s->connections = connections_new();
	s->refused_passwords = auth_cache_new();
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
