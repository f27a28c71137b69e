/* SPDX-License-Identifier: ISC */
#include "cmd/check_words.h"

#include "base/attr.h"
#include "codec/mail/mime.h"
#include "codec/postfix/characters.h"
#include "codec/postfix/lines.h"
#include "codec/postfix/value.h"
#include "codec/smtp/path.h"
#include "conf/quota.h"

enum { WORDS_MAX = 5 };

static void check_one(const struct conf *c, struct problems *p,
	const char *param, struct str value, enum problem_level level,
	const char *const words[WORDS_MAX])
{
	struct str item;
	size_t n = 0;

	while (n < WORDS_MAX && words[n] != NULL)
		n++;
	while (str_present(item = list_item(&value))) {
		bool known = false;

		for (size_t i = 0; i < n; i++)
			known |= str_ieqc(item, words[i]);
		if (known)
			continue;
		const char *near = nearest_name(item, words, n);
		struct str write =
			near != NULL
				? arena_printf(c->a, "did you mean %s?", near)
				: arena_printf(c->a,
					  "write %s, or another of the "
					  "words in its manual",
					  words[0]);

		conf_problem(c, p, level, param,
			arena_printf(c->a, "%s: unknown word %.*s", param,
				STR_ARG(item)),
			write);
	}
}

static void check_characters(const struct conf *c, struct problems *p)
{
	const struct {
		const char *name;
		struct str value;
	} all[] = {{"message_reject_characters", c->message_reject_characters},
		{"smtpd_expansion_filter", c->smtpd_expansion_filter},
		{"message_strip_characters", c->message_strip_characters}};
	struct characters set;

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (!characters_parse(all[i].value, &set))
			conf_problem(c, p, PROBLEM_ERROR, all[i].name,
				arena_printf(c->a,
					"%s: \"%.*s\" has an escape that is "
					"none",
					all[i].name, STR_ARG(all[i].value)),
				STR("write \\0 or \\r, as in C"));
}

static void check_quota(const struct conf *c, struct problems *p)
{
	struct str rest = c->mailbox_quota_warning, word;
	uint64_t bytes, messages, percent;

	if (!quota_parse(c->mailbox_quota, &bytes, &messages))
		conf_problem(c, p, PROBLEM_ERROR, "mailbox_quota",
			arena_printf(c->a,
				"mailbox_quota: \"%.*s\" is no quota",
				STR_ARG(c->mailbox_quota)),
			STR("write a size (10G), perhaps a number of messages "
			    "behind it (10G 100000), or 0"));
	while (str_present(word = str_word(&rest, ", \t")))
		if (!str_u64(word, &percent) || percent == 0 || percent > 100)
			conf_problem(c, p, PROBLEM_ERROR,
				"mailbox_quota_warning",
				arena_printf(c->a,
					"mailbox_quota_warning: \"%.*s\" is no "
					"percentage",
					STR_ARG(word)),
				STR("write numbers from 1 to 100"));
}

/* What is deeper is one part for us, and nobody counts it. */
static void check_nesting(const struct conf *c, struct problems *p)
{
	if (conf_entry(c, STR("mime_nesting_limit")) != NULL &&
		c->mime_nesting_limit >= MIME_DEPTH_MAX)
		conf_problem(c, p, PROBLEM_WARNING, "mime_nesting_limit",
			arena_printf(c->a,
				"mime_nesting_limit: %lld refuses nothing: "
				"parts are looked at down to %d",
				(long long)c->mime_nesting_limit,
				MIME_DEPTH_MAX),
			STR("write a smaller number, or remove the line"));
}

static void check_public(const struct conf *c, struct problems *p)
{
	struct str account = c->imap_public_account;

	if (account.len > 0 && !smtp_address_valid(account, true))
		conf_problem(c, p, PROBLEM_ERROR, "imap_public_account",
			arena_printf(c->a,
				"imap_public_account: \"%.*s\" is no address",
				STR_ARG(account)),
			STR("write the address of an account (postern user "
			    "list), or nothing"));
}

void check_words(const struct conf *c, struct problems *p)
{
	static const char *const overrides[WORDS_MAX] = {
		"no_unknown_recipient_checks", "no_address_mappings",
		"no_header_body_checks", "no_milters"};
	static const char *const screen[WORDS_MAX] = {
		"ignore", "enforce", "drop"};
	static const char *const tempfail[WORDS_MAX] = {
		"defer_if_permit", "defer"};
	static const char *const spf[WORDS_MAX] = {"none", "mark", "reject"};
	static const char *const classes[WORDS_MAX] = {
		"2bounce", "bounce", "delay"};
	static const char *const dns[WORDS_MAX] = {
		"enabled", "disabled", "dnssec"};
	static const char *const froms[WORDS_MAX] = {"standard", "obsolete"};
	static const char *const ends[WORDS_MAX] = {
		"always", "strict", "never"};
	static const char *const targets[WORDS_MAX] = {"rcpt", "data"};
	static const char *const unended[WORDS_MAX] = {
		"fix_quietly", "add_header", "reject"};
	static const char *const search[WORDS_MAX] = {
		"res_defnames", "res_dnsrch"};
	static const char *const utf8[WORDS_MAX] = {
		"sendmail", "smtpd", "verify", "all"};
	static const char *const languages[WORDS_MAX] = {"en", "de"};
	static const char *const indexes[WORDS_MAX] = {"auto", "always", "no"};
	static const char *const dmarc[WORDS_MAX] = {"none", "mark", "enforce"};
	const struct {
		const char *param;
		struct str value;
	} actions[] = {
		{"postscreen_denylist_action", c->postscreen_denylist_action},
		{"postscreen_greet_action", c->postscreen_greet_action},
		{"postscreen_dnsbl_action", c->postscreen_dnsbl_action},
		{"postscreen_pipelining_action",
			c->postscreen_pipelining_action},
		{"postscreen_non_smtp_command_action",
			c->postscreen_non_smtp_command_action},
		{"postscreen_bare_newline_action",
			c->postscreen_bare_newline_action}};

	check_one(c, p, "receive_override_options", c->receive_override_options,
		PROBLEM_WARNING, overrides);
	for (size_t i = 0; i < ARRAY_LEN(actions); i++)
		check_one(c, p, actions[i].param, actions[i].value,
			PROBLEM_ERROR, screen);
	check_one(c, p, "notify_classes", c->notify_classes, PROBLEM_WARNING,
		classes);
	check_one(c, p, "header_from_format", c->header_from_format,
		PROBLEM_ERROR, froms);
	check_one(c, p, "sendmail_fix_line_endings",
		c->sendmail_fix_line_endings, PROBLEM_ERROR, ends);
	check_one(c, p, "smtp_address_verify_target",
		c->smtp_address_verify_target, PROBLEM_ERROR, targets);
	check_one(c, p, "non_empty_end_of_header_action",
		c->non_empty_end_of_header_action, PROBLEM_ERROR, unended);
	/* Postfix has more classes: mail that we write ourselves. */
	check_one(c, p, "smtputf8_autodetect_classes",
		c->smtputf8_autodetect_classes, PROBLEM_WARNING, utf8);
	check_one(c, p, "smtp_dns_resolver_options",
		c->smtp_dns_resolver_options, PROBLEM_ERROR, search);
	check_one(c, p, "bounce_language", c->bounce_language, PROBLEM_ERROR,
		languages);
	check_one(c, p, "smtp_dns_support_level", c->smtp_dns_support_level,
		PROBLEM_ERROR, dns);
	check_quota(c, p);
	check_characters(c, p);
	check_public(c, p);
	check_nesting(c, p);
	check_one(c, p, "mailbox_search_index", c->mailbox_search_index,
		PROBLEM_ERROR, indexes);
	check_one(c, p, "smtpd_spf_policy", c->smtpd_spf_policy, PROBLEM_ERROR,
		spf);
	check_one(c, p, "smtpd_dmarc_policy", c->smtpd_dmarc_policy,
		PROBLEM_ERROR, dmarc);
	check_one(c, p, "unknown_address_tempfail_action",
		c->unknown_address_tempfail_action, PROBLEM_ERROR, tempfail);
	check_one(c, p, "unknown_helo_hostname_tempfail_action",
		c->unknown_helo_hostname_tempfail_action, PROBLEM_ERROR,
		tempfail);
	check_one(c, p, "unverified_recipient_tempfail_action",
		c->unverified_recipient_tempfail_action, PROBLEM_ERROR,
		tempfail);
	check_one(c, p, "unverified_sender_tempfail_action",
		c->unverified_sender_tempfail_action, PROBLEM_ERROR, tempfail);
}
