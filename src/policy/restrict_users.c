/* SPDX-License-Identifier: ISC */
/* The restrictions about users: is there such a one, and may this login send as
 * that? */
#include "codec/smtp/path.h"
#include "policy/restrict_private.h"

/* relocated(5): who has moved is told where to. */
static enum outcome moved(struct check *c, struct decision *d)
{
	struct str text;
	const char *enhanced;
	struct fault f;

	switch (policy_relocated(c->policy, c->recipient, c->a, &text, &f)) {
	case TABLE_FOUND:
		enhanced = arena_cstr(c->a, str_word(&text, " \t"));
		return restrict_reject(c, d, enhanced[0] == '4' ? 450 : 550,
			enhanced, SUBJECT_RECIPIENT, "%.*s",
			STR_ARG(str_trim(text)));
	case TABLE_ERROR:
		return restrict_temp(c, d, &f);
	case TABLE_NONE:
		break;
	}
	return OUT_DUNNO;
}

static enum outcome unlisted(
	struct check *c, struct decision *d, struct str address, bool is_sender)
{
	const struct conf *conf = c->policy->c;
	const char *table = "recipient table";
	enum address_class class;
	struct fault f;
	bool known;

	if (!str_present(address) || address.len == 0)
		return OUT_DUNNO;
	if (!policy_recipient_known(
		    c->policy, address, c->a, &known, &class, &table, &f))
		return restrict_temp(c, d, &f);
	if (known)
		return OUT_DUNNO;
	const int64_t codes[] = {conf->unknown_local_recipient_reject_code,
		conf->unknown_virtual_alias_reject_code,
		conf->unknown_virtual_mailbox_reject_code,
		conf->unknown_relay_recipient_reject_code, 550};
	return restrict_reject(c, d, codes[class],
		is_sender ? "5.1.0" : "5.1.1",
		is_sender ? SUBJECT_SENDER : SUBJECT_RECIPIENT,
		conf->show_user_unknown_table_name ? "User unknown in %s"
						   : "User unknown",
		table);
}

RULE(reject_unlisted_recipient)
{
	enum outcome out = str_present(c->recipient) ? moved(c, d) : OUT_DUNNO;

	return out != OUT_DUNNO ? out : unlisted(c, d, c->recipient, false);
}

RULE(reject_unlisted_sender)
{
	return unlisted(c, d, c->sender, true);
}

static enum outcome login_mismatch(
	struct check *c, struct decision *d, bool only_known, bool only_auth)
{
	struct fault f;
	bool owns, owned;

	if (!str_present(c->sender) || c->sender.len == 0)
		return OUT_DUNNO;
	if (!policy_login_owns(
		    c->policy, c->login, c->sender, c->a, &owns, &owned, &f))
		return restrict_temp(c, d, &f);
	if (str_present(c->login)) {
		if (owns || (only_known && !owned))
			return OUT_DUNNO;
		return restrict_reject(c, d, 553, "5.7.1", SUBJECT_SENDER,
			"not owned by user %.*s", STR_ARG(c->login));
	}
	if (only_auth || !owned)
		return OUT_DUNNO;
	return restrict_reject(
		c, d, 553, "5.7.1", SUBJECT_SENDER, "not logged in");
}

RULE(reject_sender_login_mismatch)
{
	return login_mismatch(c, d, false, false);
}

RULE(reject_authenticated_sender_login_mismatch)
{
	return login_mismatch(c, d, false, true);
}

RULE(reject_known_sender_login_mismatch)
{
	return login_mismatch(c, d, true, false);
}

RULE(reject_unauthenticated_sender_login_mismatch)
{
	return str_present(c->login) ? OUT_DUNNO
				     : login_mismatch(c, d, false, false);
}

/* ---- of smtpd itself ---- */

struct decision restrict_unlisted_recipient(struct check *c)
{
	struct decision d = {.verdict = VERDICT_PERMIT};

	if (rule_reject_unlisted_recipient(c, NULL, &d) == OUT_REJECT)
		c->rule = STR("smtpd_reject_unlisted_recipient");
	return d;
}

struct decision restrict_unlisted_sender(struct check *c)
{
	struct decision d = {.verdict = VERDICT_PERMIT};

	if (rule_reject_unlisted_sender(c, NULL, &d) == OUT_REJECT)
		c->rule = STR("smtpd_reject_unlisted_sender");
	return d;
}

struct decision restrict_sender_login(struct check *c)
{
	struct decision d = {.verdict = VERDICT_PERMIT};

	if (rule_reject_sender_login_mismatch(c, NULL, &d) == OUT_REJECT)
		c->rule = STR("reject_sender_login_mismatch");
	return d;
}
