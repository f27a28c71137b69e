/* SPDX-License-Identifier: ISC */
/* A new connection: who is it, and the greeting. */
#include <pwd.h>
#include <string.h>
#include <unistd.h>

#include "base/must.h"
#include "role/smtpd/milters.h"

enum { PREGREET_MS = 0 };

void smtpd_accepted(int fd, void *ctx)
{
	struct smtpd_service *sv = ctx;
	struct session *s = must_alloc(sizeof(*s));

	id_text(id_new(), s->log_id);
	s->sv = sv;
	s->stream = stream_new(fd, SMTPD_INPUT_BYTES);
	s->a = arena_new(SMTPD_SESSION_BYTES);
	s->tx_a = arena_new(SMTPD_TRANSACTION_BYTES);
	s->cmd_a = arena_new(SMTPD_COMMAND_BYTES);
	s->seat.fd = fd;
	s->seat.serve = smtpd_serve;
	s->seat.idle = smtpd_idle;
	__atomic_add_fetch(&sv->role->slot->served, 1, __ATOMIC_RELAXED);
	crew_add(sv->role->crew, &s->seat);
}

static bool is_loopback(const struct session *s)
{
	static const unsigned char six[16] = {[15] = 1};

	return (s->addr_len == 4 && s->addr[0] == 127) ||
	       (s->addr_len == 16 && memcmp(s->addr, six, 16) == 0);
}

/* The PTR name counts only when it leads back: postfix smtpd_peer */
static void find_name(struct session *s)
{
	struct resolver *r = s->sv->policy->resolver;
	struct resolver_addrs addrs = {0};
	struct fault f;
	struct str name;

	s->client_name = s->reverse_name = STR("unknown");
	if (is_loopback(s) && s->sv->c->dns_resolvers.len == 0) {
		/* No server knows better, and a dead one would cost time. */
		s->client_name = s->reverse_name = STR("localhost");
		return;
	}
	if (r == NULL || !s->sv->c->smtpd_peername_lookup || s->addr_len == 0)
		return;
	enum dns_result d =
		resolver_ptr(r, s->addr, s->addr_len, s->cmd_a, &name, &f);
	s->client_temp = d == DNS_TEMP;
	if (d != DNS_OK)
		return;
	s->reverse_name = arena_str(s->a, name);
	d = resolver_host(r, name, s->addr_len == 4 ? RESOLVER_V4 : RESOLVER_V6,
		s->cmd_a, &addrs, &f);
	s->client_temp = d == DNS_TEMP;
	for (size_t i = 0; i < addrs.n; i++)
		if (addrs.v[i].len == s->addr_len &&
			memcmp(addrs.v[i].bytes, s->addr, s->addr_len) == 0)
			s->client_name = s->reverse_name;
}

/* sendmail(1): the kernel says who it is. */
static bool greet_local(struct session *s)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	char buffer[4096];
	struct passwd pw, *found = NULL;
	struct fault f;

	s->greeted = s->trusted = true;
	s->where = "CONNECT";
	s->client = s->client_name = s->reverse_name = STR("localhost");
	if (getsockopt(stream_fd(s->stream), SOL_SOCKET, SO_PEERCRED, &cred,
		    &len) != 0)
		return false;
	s->uid = cred.uid;
	getpwuid_r(cred.uid, &pw, buffer, sizeof(buffer), &found);
	struct str name = found != NULL ? str_from(pw.pw_name)
					: arena_printf(s->a, "%u", cred.uid);
	s->local_user = found != NULL ? arena_str(s->a, name)
				      : arena_printf(s->a, "uid:%u", cred.uid);
	log_info("connect", log_z("client", "local"), log_s("user", name),
		log_n("uid", cred.uid));
	if (cred.uid != 0 && match_name(s->sv->submit_users, name, s->cmd_a,
				     &f) != TABLE_FOUND) {
		smtpd_reply(s, 554, "5.7.1 %.*s may not submit mail here",
			STR_ARG(name));
		stream_flush(s->stream);
		return false;
	}
	if (milters_connect(s)) {
		stream_flush(s->stream);
		return false;
	}
	smtpd_reply(s, 220, "%.*s", STR_ARG(s->sv->c->myhostname));
	return true;
}

bool smtpd_greet(struct session *s)
{
	const struct conf *c = s->sv->c;
	struct sock_addr peer;
	struct fault f;

	if (s->sv->service->local)
		return greet_local(s);
	s->greeted = true;
	if (!sock_peer(stream_fd(s->stream), &peer))
		return false;
	sock_addr_bytes(&peer, s->addr, &s->addr_len);
	s->client = sock_addr_text(&peer, s->a);
	s->client_port = sock_addr_port(&peer);
	if (sock_self(stream_fd(s->stream), &peer)) {
		s->server = sock_addr_text(&peer, s->a);
		s->server_port = sock_addr_port(&peer);
	}
	s->where = "CONNECT";
	if (c->smtpd_upstream_proxy_protocol.len > 0 && !smtpd_proxy_header(s))
		return false;
	smtpd_x_allowed(s);
	s->trusted =
		match_address(s->sv->policy->mynetworks, s->addr, s->addr_len,
			s->client, s->cmd_a, &f) == TABLE_FOUND;
	if (smtpd_rate_connect(s)) {
		stream_deadline(s->stream, 5000);
		stream_flush(s->stream);
		return false;
	}
	find_name(s);
	arena_reset(s->cmd_a);
	log_info("connect", log_s("client", s->client),
		log_s("client_name", s->client_name),
		log_s("listener", s->sv->service->name),
		c->smtpd_client_port_logging
			? log_n("client_port", s->client_port)
			: (struct log_kv){0});
	if (c->smtpd_tls_wrappermode && !smtpd_tls_handshake(s))
		return false;
	if (s->sv->service->screen && s->addr_len > 0 &&
		!c->smtpd_tls_wrappermode) {
		if (!smtpd_screen_begin(s))
			return false;
		if (s->screening)
			return true;
	}
	/* RFC 5321 3.1: who talks first is no mail server. */
	if (stream_readable(s->stream, PREGREET_MS) &&
		!c->smtpd_tls_wrappermode)
		s->pipelined = true;
	return smtpd_begin(s);
}

bool smtpd_begin(struct session *s)
{
	const struct conf *c = s->sv->c;
	struct check check = smtpd_check(s, s->cmd_a);

	if (!c->smtpd_delay_reject) {
		struct decision d = restrict_stage(&check, STAGE_CLIENT);

		if (d.verdict == VERDICT_REJECT) {
			log_info("reject", log_z("stage", "connect"),
				log_s("client", s->client),
				log_s("rule", check.rule),
				log_s("reply", d.text));
			smtpd_reply(s, d.code >= 500 ? 554 : 421, "%.*s",
				STR_ARG(d.text));
			stream_flush(s->stream);
			return false;
		}
		smtpd_skip_actions(s, &check);
	}
	if (milters_connect(s)) {
		stream_flush(s->stream);
		return false;
	}
	if (s->sv->lmtp)
		smtpd_reply(s, 220, "%.*s LMTP", STR_ARG(c->myhostname));
	else
		smtpd_reply(s, 220, "%.*s", STR_ARG(c->smtpd_banner));
	return true;
}
