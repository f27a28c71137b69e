/* SPDX-License-Identifier: ISC */
/*
 * postscreen(8): a stranger on a postscreen line of master.cf is looked at
 * before the greeting: the access list, DNS lists with weights, and whether he
 * talks before it is his turn.  He waits in the parking lot, where he costs no
 * thread; who passed is let in at once for postscreen_greet_ttl.
 */
#include "codec/postfix/lines.h"
#include "role/smtpd/smtpd.h"

enum screen_action { IGNORE, ENFORCE, DROP };

static enum screen_action action_of(struct str text)
{
	return str_ieqc(text, "enforce") ? ENFORCE
	       : str_ieqc(text, "drop")  ? DROP
					 : IGNORE;
}

struct anvil_key smtpd_screen_key(const struct session *s)
{
	return anvil_key(
		"postscreen", s->addr, s->addr_len, s->addr_len == 4 ? 32 : 64);
}

/* A test failed; false: the session ends here. */
bool smtpd_screen_failed(struct session *s, const char *test, struct str action,
	const char *drop, struct str refusal)
{
	log_info("screen", log_z("test", test), log_s("client", s->client),
		log_s("action", action), log_s("reply", refusal));
	s->screen_failed = true;
	switch (action_of(action)) {
	case IGNORE:
		return true;
	case ENFORCE:
		if (s->screen_refusal.len == 0)
			s->screen_refusal = arena_str(s->a, refusal);
		return true;
	case DROP:
		break;
	}
	smtpd_reply(s, 521, "%s", drop);
	stream_deadline(s->stream, 5000);
	stream_flush(s->stream);
	return false;
}

/* ---- the access list ---- */

enum access { ACCESS_NONE, ACCESS_PERMIT, ACCESS_REJECT };

static enum access access_list(struct session *s)
{
	for (size_t i = 0; i < s->sv->screen_n; i++) {
		const struct screen_rule *r = &s->sv->screen[i];
		struct str value;
		struct fault f;

		if (r->maps == NULL) {
			if (r->reject)
				return ACCESS_REJECT;
			if (!r->networks || s->trusted)
				return ACCESS_PERMIT;
			continue;
		}
		if (maps_lookup(r->maps, s->client, s->cmd_a, &value, &f) !=
			TABLE_FOUND)
			continue;
		if (str_ieqc(value, "permit"))
			return ACCESS_PERMIT;
		if (str_ieqc(value, "reject"))
			return ACCESS_REJECT;
	}
	return ACCESS_NONE;
}

/* ---- where it came to ---- */

/* postscreen_allowlist_interfaces; where it cannot be said, it may. */
static bool may_pass(const struct session *s)
{
	unsigned char bytes[16];
	struct sock_addr addr;
	size_t len;
	struct fault f;

	if (s->sv->screen_interfaces == NULL ||
		!sock_addr_parse(s->server, 0, &addr))
		return true;
	sock_addr_bytes(&addr, bytes, &len);
	return match_address(s->sv->screen_interfaces, bytes, len, s->server,
		       s->cmd_a, &f) != TABLE_NONE;
}

/* ---- DNS lists ---- */

/* False: the session ends here.  *good_r: well known, no more tests. */
static bool check_lists(struct session *s, bool *good_r)
{
	const struct conf *c = s->sv->c;
	struct anvil_key key = smtpd_screen_key(s);
	struct str list, instead;
	int64_t score;
	struct fault f;

	if (c->postscreen_dnsbl_sites.len == 0 ||
		anvil_passed(s->sv->anvil, &key, PASS_DNSBL))
		return true;
	score = smtpd_screen_dnsbl(s, &list);
	*good_r = c->postscreen_dnsbl_allowlist_threshold < 0 &&
		  score <= c->postscreen_dnsbl_allowlist_threshold;
	if (score < c->postscreen_dnsbl_threshold) {
		if (may_pass(s))
			anvil_pass(s->sv->anvil, &key, PASS_DNSBL,
				c->postscreen_dnsbl_max_ttl);
		return true;
	}
	if (s->sv->screen_replies != NULL &&
		maps_lookup(s->sv->screen_replies, list, s->cmd_a, &instead,
			&f) == TABLE_FOUND)
		list = instead;
	struct str text = arena_printf(s->cmd_a,
		"550 5.7.1 Service unavailable; client [%.*s] blocked using "
		"%.*s",
		STR_ARG(s->client), STR_ARG(list));
	return smtpd_screen_failed(s, "dnsbl", c->postscreen_dnsbl_action,
		str_from_at(text, 4).ptr, text);
}

/* ---- the greeting ---- */

bool smtpd_screen_begin(struct session *s)
{
	const struct conf *c = s->sv->c;
	struct anvil_key key = smtpd_screen_key(s);
	bool good = false;

	switch (access_list(s)) {
	case ACCESS_PERMIT:
		return true;
	case ACCESS_REJECT:
		if (!smtpd_screen_failed(s, "denylist",
			    c->postscreen_denylist_action,
			    "5.3.2 Service currently unavailable",
			    STR("550 5.3.2 Service currently unavailable")))
			return false;
		break;
	case ACCESS_NONE:
		break;
	}
	smtpd_screen_deep(s);
	s->stranger = true;
	if (!check_lists(s, &good))
		return false;
	if (anvil_passed(s->sv->anvil, &key, PASS_GREET))
		return true;
	if (!may_pass(s) && s->screen_refusal.len == 0) {
		log_info("screen", log_z("test", "allowlist_interfaces"),
			log_s("client", s->client), log_s("server", s->server));
		s->screen_refusal =
			STR("450 4.3.2 Service currently unavailable");
	}
	if (good) {
		s->stranger = false;
		s->screen_tests = 0;
	}
	if (good || c->postscreen_greet_wait <= 0) {
		smtpd_screen_end(s, false);
		return true;
	}
	/* Half of a greeting: who answers it is a machine that cannot read. */
	if (c->postscreen_greet_banner.len > 0)
		stream_putf(s->stream, "220-%.*s\r\n",
			STR_ARG(c->postscreen_greet_banner));
	stream_deadline(s->stream, 5000);
	stream_flush(s->stream);
	s->screening = true;
	s->seat.deadline_ms = clock_mono_ms() + c->postscreen_greet_wait * 1000;
	return true;
}

bool smtpd_screen_end(struct session *s, bool talked)
{
	const struct conf *c = s->sv->c;
	struct anvil_key key = smtpd_screen_key(s);

	s->screening = false;
	if (talked && !stream_readable(s->stream, 0))
		return false; /* hung up */
	if (talked) {
		s->pipelined = true;
		return smtpd_screen_failed(s, "pregreet",
			c->postscreen_greet_action, "5.5.1 Protocol error",
			STR("550 5.5.1 Protocol error"));
	}
	if (!s->screen_failed && may_pass(s))
		anvil_pass(s->sv->anvil, &key, PASS_GREET,
			c->postscreen_greet_ttl);
	return true;
}

/* A network that was never here comes again, if it is a mail server. */
static bool greylisted(struct session *s)
{
	const struct conf *c = s->sv->c;
	struct greylist g = {c->postscreen_greylist_delay,
		c->postscreen_greylist_window, c->postscreen_greylist_ttl};
	struct anvil_key key = anvil_key(
		"greylist", s->addr, s->addr_len, s->addr_len == 4 ? 24 : 64);
	int64_t wait;

	if (!c->postscreen_greylist_enable || !s->stranger || s->trusted ||
		str_present(s->login) ||
		anvil_greylist(s->sv->anvil, &key, &g, &wait))
		return false;
	log_info("reject", log_z("stage", "rcpt"), log_s("client", s->client),
		log_s("helo", s->helo), log_s("from", s->tx.sender_said),
		log_z("rule", "postscreen_greylist_enable"),
		log_n("seconds", wait));
	smtpd_reply(s, 450,
		"4.7.1 Greylisted: please try again in %lld seconds",
		(long long)wait);
	return true;
}

bool smtpd_screen_refuses(struct session *s)
{
	struct str text = s->screen_refusal;
	uint64_t code = 550;

	if (text.len == 0)
		return greylisted(s);
	str_u64(str_cut(&text, ' '), &code);
	log_info("reject", log_z("stage", "rcpt"), log_s("client", s->client),
		log_s("helo", s->helo), log_s("from", s->tx.sender_said),
		log_z("rule", "postscreen"), log_s("reply", text));
	smtpd_refuse(s, (int)code, "%.*s", STR_ARG(text));
	return true;
}

/* postscreen_access_list: permit_mynetworks, permit, reject, tables */
void smtpd_screen_rules(struct smtpd_service *sv, struct tables *tables,
	struct problems *problems)
{
	const struct conf *c = sv->c;
	struct str rest = c->postscreen_access_list, item;
	size_t n = 0;

	while (str_present(list_item(&rest)))
		n++;
	sv->screen_replies = maps_open(tables, c, "postscreen_dnsbl_reply_map",
		c->postscreen_dnsbl_reply_map, 0, problems);
	sv->screen_interfaces =
		match_list_new(tables, c, "postscreen_allowlist_interfaces",
			c->postscreen_allowlist_interfaces, MATCH_ADDRESSES,
			false, problems);
	sv->screen = arena_alloc(c->a, (n + 1) * sizeof(*sv->screen));
	rest = c->postscreen_access_list;
	while (str_present(item = list_item(&rest))) {
		struct screen_rule r = {
			.networks = str_ieqc(item, "permit_mynetworks"),
			.reject = str_ieqc(item, "reject")};

		if (!r.networks && !r.reject && !str_ieqc(item, "permit")) {
			r.maps = maps_open(tables, c, "postscreen_access_list",
				item, 0, problems);
			if (r.maps == NULL)
				continue;
		}
		sv->screen[sv->screen_n++] = r;
	}
}
