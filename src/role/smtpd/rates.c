/* SPDX-License-Identifier: ISC */
/*
 * smtpd_client_*_limit: what one client network may do at a time and in
 * anvil_rate_time_unit.  Replies as Postfix gives them.
 */
#include "role/smtpd/smtpd.h"

static void make_key(struct session *s)
{
	const struct conf *c = s->sv->c;
	int64_t prefix = s->addr_len == 4 ? c->smtpd_client_ipv4_prefix_length
					  : c->smtpd_client_ipv6_prefix_length;

	s->anvil_key = anvil_key(arena_cstr(s->cmd_a, s->sv->service->name),
		s->addr, s->addr_len, (unsigned)prefix);
}

static bool is_exempt(struct session *s)
{
	struct fault f;

	return s->addr_len == 0 ||
	       match_address(s->sv->limit_exceptions, s->addr, s->addr_len,
		       s->client, s->cmd_a, &f) == TABLE_FOUND;
}

static bool over(
	struct session *s, const char *what, unsigned count, int64_t limit)
{
	if (limit == 0 || (int64_t)count <= limit)
		return false;
	log_warn("limit exceeded", log_z("limit", what), log_n("count", count),
		log_s("client", s->client),
		log_s("listener", s->sv->service->name));
	return true;
}

bool smtpd_rate_connect(struct session *s)
{
	const struct conf *c = s->sv->c;
	unsigned rate, open;

	if (is_exempt(s))
		return false;
	make_key(s);
	s->counted = true;
	open = anvil_open(s->sv->anvil, &s->anvil_key, &rate);
	if (over(s, "smtpd_client_connection_count_limit", open,
		    c->smtpd_client_connection_count_limit)) {
		smtpd_reply(s, 421,
			"4.7.0 %.*s Error: too many connections from %.*s",
			STR_ARG(c->myhostname), STR_ARG(s->client));
		return true;
	}
	if (!over(s, "smtpd_client_connection_rate_limit", rate,
		    c->smtpd_client_connection_rate_limit))
		return false;
	smtpd_reply(s, 421,
		"4.7.0 %.*s Error: too many connections at a time from %.*s",
		STR_ARG(c->myhostname), STR_ARG(s->client));
	return true;
}

void smtpd_rate_end(struct session *s)
{
	if (s->counted)
		anvil_close(s->sv->anvil, &s->anvil_key);
	s->counted = false;
}

bool smtpd_rate_over(struct session *s, enum anvil_event event)
{
	const struct conf *c = s->sv->c;
	const struct {
		const char *name;
		int64_t limit;
		int code;
		const char *text;
	} limits[ANVIL_EVENTS] = {
		[ANVIL_MESSAGE] = {"smtpd_client_message_rate_limit",
			c->smtpd_client_message_rate_limit, 450,
			"4.7.1 Error: too much mail from"},
		[ANVIL_RECIPIENT] = {"smtpd_client_recipient_rate_limit",
			c->smtpd_client_recipient_rate_limit, 450,
			"4.7.1 Error: too many recipients from"},
		[ANVIL_NEW_TLS] = {"smtpd_client_new_tls_session_rate_limit",
			c->smtpd_client_new_tls_session_rate_limit, 421,
			"4.7.0 Error: too many new TLS sessions from"},
		[ANVIL_AUTH] = {"smtpd_client_auth_rate_limit",
			c->smtpd_client_auth_rate_limit, 450,
			"4.7.1 Error: too many AUTH commands from"}};

	if (!s->counted ||
		!over(s, limits[event].name,
			anvil_count(s->sv->anvil, &s->anvil_key, event),
			limits[event].limit))
		return false;
	smtpd_refuse(s, limits[event].code, "%s %.*s", limits[event].text,
		STR_ARG(s->client));
	return true;
}
