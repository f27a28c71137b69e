/* SPDX-License-Identifier: ISC */
/* access(5): look-up keys and actions of check_*_access. */
#include <string.h>

#include "codec/smtp/path.h"
#include "conf/conf.h"
#include "policy/restrict_private.h"

static enum table_result ask(struct check *c, struct maps *maps, struct str key,
	struct str *value_r, struct fault *f)
{
	return maps_lookup(maps, key, c->a, value_r, f);
}

/* host.name, .parent or parent, ... */
static enum table_result ask_domain(struct check *c, struct maps *maps,
	struct str domain, struct str *value_r, struct fault *f)
{
	bool parents = match_subdomains(c->policy->c, "smtpd_access_maps");
	enum table_result r = ask(c, maps, domain, value_r, f);
	struct str d = domain;

	while (r == TABLE_NONE) {
		ptrdiff_t dot = str_find(str_from_at(d, 1), '.');

		if (d.len == 0 || dot < 0)
			break;
		d = str_from_at(d, (size_t)dot + (parents ? 2 : 1));
		r = ask(c, maps, d, value_r, f);
	}
	return r;
}

/* 192.0.2.1, 192.0.2, 192.0, 192; cidr: tables match the first */
static enum table_result ask_address(struct check *c, struct maps *maps,
	struct str *value_r, struct fault *f)
{
	struct str key = c->client_text;
	enum table_result r = ask(c, maps, key, value_r, f);
	char sep = c->client_addr_len == 16 ? ':' : '.';

	while (r == TABLE_NONE) {
		ptrdiff_t at = str_rfind(key, sep);

		if (at <= 0)
			break;
		key = str_sub(key, 0, (size_t)at);
		r = ask(c, maps, key, value_r, f);
	}
	return r;
}

static enum table_result ask_client(struct check *c, struct maps *maps,
	struct str *value_r, struct fault *f)
{
	enum table_result r = TABLE_NONE;

	if (!str_ieqc(c->client_name, "unknown"))
		r = ask_domain(c, maps, c->client_name, value_r, f);
	return r == TABLE_NONE ? ask_address(c, maps, value_r, f) : r;
}

/* user+ext@dom, user@dom, dom and parents, user+ext@, user@ */
static enum table_result ask_mailbox(struct check *c, struct maps *maps,
	struct str address, struct str *value_r, struct fault *f)
{
	const struct conf *conf = c->policy->c;
	struct str local, domain, user, ext;

	if (address.len == 0)
		return ask(c, maps, conf->smtpd_null_access_lookup_key, value_r,
			f);
	smtp_address_split(address, &local, &domain);
	bool has_ext = address_extension(local, conf->recipient_delimiter,
		conf->owner_request_special, &user, &ext);
	enum table_result r = ask(c, maps, address, value_r, f);
	if (r == TABLE_NONE && has_ext)
		r = ask(c, maps,
			arena_printf(c->a, "%.*s@%.*s", STR_ARG(user),
				STR_ARG(domain)),
			value_r, f);
	if (r == TABLE_NONE)
		r = ask_domain(c, maps, domain, value_r, f);
	if (r == TABLE_NONE)
		r = ask(c, maps, arena_concat(c->a, local, STR("@")), value_r,
			f);
	if (r == TABLE_NONE && has_ext)
		r = ask(c, maps, arena_concat(c->a, user, STR("@")), value_r,
			f);
	return r;
}

static struct str subject_of(const struct check *c, enum subject s)
{
	return s == SUBJECT_SENDER  ? c->sender
	       : s == SUBJECT_HELO  ? c->helo
	       : s == SUBJECT_LOGIN ? c->login
				    : c->recipient;
}

/* "4NN text", "5NN x.y.z text" */
static enum outcome numeric_action(struct check *c, struct str action,
	enum subject subject, struct decision *d)
{
	uint64_t code = 554;
	struct str rest = action;

	str_u64(str_cut(&rest, ' '), &code);
	rest = str_trim(rest);
	bool enhanced = rest.len > 4 && ascii_is_digit(rest.ptr[0]) &&
			rest.ptr[1] == '.';
	struct str status = enhanced ? str_word(&rest, " ") : STR("5.7.1");
	return restrict_reject(c, d, (int64_t)code, arena_cstr(c->a, status),
		subject, "%.*s",
		STR_ARG(str_trim(rest).len > 0 ? str_trim(rest)
					       : STR("Access denied")));
}

static enum outcome refuse(struct check *c, struct str text, int64_t code,
	enum subject subject, struct decision *d)
{
	struct str status = STR("5.7.1");

	if (text.len > 4 && ascii_is_digit(text.ptr[0]) && text.ptr[1] == '.')
		status = str_word(&text, " ");
	text = str_trim(text);
	return restrict_reject(c, d, code, arena_cstr(c->a, status), subject,
		"%.*s", STR_ARG(text.len > 0 ? text : STR("Access denied")));
}

enum action {
	A_OK,
	A_REJECT,
	A_DEFER,
	A_DUNNO,
	A_DISCARD,
	A_HOLD,
	A_REDIRECT,
	A_PREPEND,
	A_WARN,
	A_INFO,
	A_DEFER_IF_PERMIT,
	A_DEFER_IF_REJECT,
	A_FILTER,
	A_OTHER
};

static enum action action_of(struct str word)
{
	static const char *const names[] = {"OK", "REJECT", "DEFER", "DUNNO",
		"DISCARD", "HOLD", "REDIRECT", "PREPEND", "WARN", "INFO",
		"DEFER_IF_PERMIT", "DEFER_IF_REJECT", "FILTER"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_ieqc(word, names[i]))
			return (enum action)i;
	return A_OTHER;
}

enum outcome restrict_action(struct check *c, struct str value,
	enum subject subject, struct decision *d)
{
	const struct conf *conf = c->policy->c;
	struct str rest = value;
	struct str word = str_word(&rest, " \t");

	rest = str_present(rest) ? str_trim(rest) : STR("");
	if (word.len == 3 && (word.ptr[0] == '4' || word.ptr[0] == '5') &&
		ascii_is_digit(word.ptr[1]))
		return numeric_action(c, value, subject, d);
	switch (action_of(word)) {
	case A_OK:
		return OUT_PERMIT;
	case A_DUNNO:
		return OUT_DUNNO;
	case A_REJECT:
		return refuse(
			c, rest, conf->access_map_reject_code, subject, d);
	case A_DEFER:
		return refuse(c, rest, conf->access_map_defer_code, subject, d);
	case A_DISCARD:
		c->discard = true;
		return OUT_DUNNO;
	case A_HOLD:
		c->hold = true;
		return OUT_DUNNO;
	case A_REDIRECT:
		c->redirect = arena_str(c->a, rest);
		return OUT_DUNNO;
	case A_FILTER:
		c->filter = arena_str(c->a, rest);
		return OUT_DUNNO;
	case A_PREPEND:
		strs_add(&c->prepend, c->a, arena_str(c->a, rest));
		return OUT_DUNNO;
	case A_WARN:
	case A_INFO:
		strs_add(&c->warnings, c->a,
			arena_printf(c->a, "access map: %.*s", STR_ARG(rest)));
		return OUT_DUNNO;
	case A_DEFER_IF_PERMIT:
		refuse(c, rest, conf->access_map_defer_code, subject, d);
		return restrict_defer_if_permit(c, d);
	case A_DEFER_IF_REJECT:
		refuse(c, rest, conf->access_map_defer_code, subject, d);
		c->defer_if_reject = arena_printf(
			c->a, "%d %.*s", d->code, STR_ARG(d->text));
		*d = (struct decision){.verdict = VERDICT_PERMIT};
		return OUT_DUNNO;
	case A_OTHER:
		break;
	}
	/* access(5): all digits are OK, other words are restrictions */
	uint64_t number;
	if (str_u64(word, &number))
		return OUT_PERMIT;
	return restrict_run_text(c, value, d);
}

static enum outcome restrict_access(struct check *c, const struct rule *rule,
	enum subject subject, struct decision *d)
{
	enum table_result r = TABLE_NONE;
	struct str value;
	struct fault f;

	if (rule->maps == NULL)
		return OUT_DUNNO;
	switch (subject) {
	case SUBJECT_CLIENT:
		r = ask_client(c, rule->maps, &value, &f);
		break;
	case SUBJECT_HELO:
		if (str_present(c->helo))
			r = ask_domain(c, rule->maps, c->helo, &value, &f);
		break;
	case SUBJECT_ETRN:
		if (str_present(c->etrn_domain))
			r = ask_domain(
				c, rule->maps, c->etrn_domain, &value, &f);
		break;
	case SUBJECT_LOGIN:
		if (str_present(c->login))
			r = ask(c, rule->maps, c->login, &value, &f);
		break;
	case SUBJECT_REVERSE:
		if (!str_ieqc(c->reverse_name, "unknown"))
			r = ask_domain(
				c, rule->maps, c->reverse_name, &value, &f);
		break;
	case SUBJECT_CCERT:
		if (str_present(c->ccert_fingerprint))
			r = ask(c, rule->maps, c->ccert_fingerprint, &value,
				&f);
		if (r == TABLE_NONE && str_present(c->ccert_pubkey_fingerprint))
			r = ask(c, rule->maps, c->ccert_pubkey_fingerprint,
				&value, &f);
		break;
	case SUBJECT_SENDER:
	case SUBJECT_RECIPIENT:
		if (str_present(subject_of(c, subject)))
			r = ask_mailbox(c, rule->maps, subject_of(c, subject),
				&value, &f);
		break;
	}
	if (r == TABLE_ERROR)
		return restrict_temp(c, d, &f);
	return r == TABLE_FOUND ? restrict_action(c, value, subject, d)
				: OUT_DUNNO;
}

/* ---- which fact each of them asks about ---- */

#define ACCESS(name, subject)                                                  \
	RULE(name)                                                             \
	{                                                                      \
		return restrict_access(c, rule, subject, d);                   \
	}
ACCESS(check_client_access, SUBJECT_CLIENT)
ACCESS(check_helo_access, SUBJECT_HELO)
ACCESS(check_sender_access, SUBJECT_SENDER)
ACCESS(check_etrn_access, SUBJECT_ETRN)
ACCESS(check_recipient_access, SUBJECT_RECIPIENT)
ACCESS(check_sasl_access, SUBJECT_LOGIN)
ACCESS(check_reverse_client_hostname_access, SUBJECT_REVERSE)
ACCESS(check_ccert_access, SUBJECT_CCERT)
