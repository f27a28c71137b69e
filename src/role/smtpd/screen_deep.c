/* SPDX-License-Identifier: ISC */
/*
 * postscreen's tests behind the greeting.  Postfix tests in a dialog of its
 * own and sends the client away to come again; here the session that is
 * tested is the one that gets the mail, so a good client notices nothing.
 */
#include "role/smtpd/smtpd.h"

struct deep_test {
	const char *name;
	bool enabled;
	struct str action;
	int64_t ttl;
	const char *reply; /* behind "550 " and "521 " */
};

static struct deep_test test_of(const struct conf *c, enum anvil_pass pass)
{
	switch (pass) {
	case PASS_PIPELINING:
		return (struct deep_test){"pipelining",
			c->postscreen_pipelining_enable,
			c->postscreen_pipelining_action,
			c->postscreen_pipelining_ttl, "5.5.0 Protocol error"};
	case PASS_NON_SMTP_COMMAND:
		return (struct deep_test){"non_smtp_command",
			c->postscreen_non_smtp_command_enable,
			c->postscreen_non_smtp_command_action,
			c->postscreen_non_smtp_command_ttl,
			"5.7.0 Error: I can break rules, too. Goodbye."};
	case PASS_BARE_NEWLINE:
		return (struct deep_test){"bare_newline",
			c->postscreen_bare_newline_enable,
			c->postscreen_bare_newline_action,
			c->postscreen_bare_newline_ttl, "5.5.0 Protocol error"};
	case PASS_GREET:
	case PASS_GREYLIST:
	case PASS_DNSBL:
	case ANVIL_PASSES:
		break;
	}
	return (struct deep_test){0};
}

void smtpd_screen_deep(struct session *s)
{
	struct anvil_key key = smtpd_screen_key(s);

	for (enum anvil_pass p = 0; p < ANVIL_PASSES; p++)
		if (test_of(s->sv->c, p).enabled &&
			!anvil_passed(s->sv->anvil, &key, p))
			s->screen_tests |= 1u << p;
}

bool smtpd_screen_violates(struct session *s, enum anvil_pass pass)
{
	struct deep_test t = test_of(s->sv->c, pass);

	if ((s->screen_tests & 1u << pass) == 0)
		return false;
	s->screen_tests &= ~(1u << pass);
	if (smtpd_screen_failed(s, t.name, t.action, t.reply,
		    arena_printf(s->cmd_a, "550 %s", t.reply)))
		return false;
	s->closing = true;
	return true;
}

void smtpd_screen_passes(struct session *s)
{
	struct anvil_key key = smtpd_screen_key(s);

	for (enum anvil_pass p = 0; p < ANVIL_PASSES; p++)
		if ((s->screen_tests & 1u << p) != 0)
			anvil_pass(s->sv->anvil, &key, p,
				test_of(s->sv->c, p).ttl);
	s->screen_tests = 0;
}
