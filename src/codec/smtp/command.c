/* SPDX-License-Identifier: ISC */
#include "codec/smtp/command.h"

bool smtp_command_parse(struct str line, struct smtp_command *cmd_r)
{
	struct smtp_command cmd;

	for (size_t i = 0; i < line.len; i++)
		if (((unsigned char)line.ptr[i] < 0x20 &&
			    line.ptr[i] != '\t') ||
			line.ptr[i] == 0x7f)
			return false;
	line = str_trim_right(line);
	size_t n = 0;
	while (n < line.len && line.ptr[n] != ' ' && line.ptr[n] != '\t')
		n++;
	if (n == 0)
		return false;
	cmd.verb = str_sub(line, 0, n);
	cmd.args = str_trim(str_from_at(line, n));
	*cmd_r = cmd;
	return true;
}

static bool refuse(struct smtp_refusal *r, int code, const char *enhanced,
	const char *text)
{
	*r = (struct smtp_refusal){code, enhanced, text};
	return false;
}

static int hex_value(char c)
{
	if (ascii_is_digit(c))
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool smtp_xtext_decode(struct str s, struct arena *a, struct str *text_r)
{
	char *out = arena_alloc(a, s.len + 1);
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];

		if (c == '+') {
			if (i + 2 >= s.len || hex_value(s.ptr[i + 1]) < 0 ||
				hex_value(s.ptr[i + 2]) < 0)
				return false;
			c = (unsigned char)(hex_value(s.ptr[i + 1]) * 16 +
					    hex_value(s.ptr[i + 2]));
			i += 2;
		} else if (c == '=') {
			return false;
		}
		/* A line break in here once wrote into a spool (attack 17). */
		if (c < 0x20 || c == 0x7f)
			return false;
		out[n++] = (char)c;
	}
	*text_r = str_of(out, n);
	return true;
}

struct str smtp_xtext_encode(struct str s, struct arena *a)
{
	static const char hex[] = "0123456789ABCDEF";
	char *out = arena_alloc(a, s.len * 3 + 1);
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];

		if (c > 0x20 && c < 0x7f && c != '+' && c != '=') {
			out[n++] = (char)c;
			continue;
		}
		out[n++] = '+';
		out[n++] = hex[c >> 4];
		out[n++] = hex[c & 15];
	}
	return str_of(out, n);
}

/* Moves *args behind "FROM:" or "TO:", and behind blanks where that is loose.
 */
static bool skip_word(struct str *args, const char *word, unsigned loose)
{
	size_t n = str_from(word).len;

	if (!str_istarts(*args, word))
		return false;
	*args = str_from_at(*args, n);
	while ((loose & SMTP_PATH_BARE) != 0 && args->len > 0 &&
		args->ptr[0] == ' ')
		*args = str_from_at(*args, 1);
	return true;
}

static bool parse_path(struct str *args, unsigned flags, bool utf8,
	struct smtp_path *path, struct smtp_refusal *r)
{
	struct smtp_bad why;
	bool had_utf8 = false;

	for (size_t i = 0; i < args->len; i++)
		had_utf8 |= (unsigned char)args->ptr[i] >= 0x80;
	flags |= utf8 ? SMTP_PATH_UTF8 : 0;
	if (smtp_path_parse(args, flags, path, &why) &&
		(args->len == 0 || args->ptr[0] == ' '))
		return true;
	if (had_utf8 && !utf8)
		return refuse(r, 553, "5.6.7",
			"Address needs the SMTPUTF8 parameter");
	return refuse(r, 501, (flags & SMTP_PATH_EMPTY) ? "5.1.7" : "5.1.3",
		"Bad address syntax");
}

/* Splits the next KEY[=VALUE]; false when there is none left. */
static bool next_param(struct str *rest, struct str *key, struct str *value)
{
	struct str word = str_word(rest, " ");

	if (!str_present(word))
		return false;
	*key = str_cut(&word, '=');
	*value = word;
	return true;
}

static bool wants_utf8(struct str args)
{
	struct str key, value;

	/* SMTPUTF8 stands behind the address that it makes legal. */
	while (next_param(&args, &key, &value))
		if (str_ieqc(key, "SMTPUTF8") && !str_present(value))
			return true;
	return false;
}

bool smtp_mail_parse(struct str args, unsigned offered, unsigned loose,
	struct arena *a, struct smtp_mail *mail_r,
	struct smtp_refusal *refusal_r)
{
	struct smtp_mail mail = {0};
	struct str key, value;
	size_t count = 0;

	if (!skip_word(&args, "FROM:", loose))
		return refuse(
			refusal_r, 501, "5.5.4", "Syntax: MAIL FROM:<address>");
	bool utf8 = (offered & SMTP_OFFER_UTF8) != 0 && wants_utf8(args);
	if (!parse_path(&args, SMTP_PATH_EMPTY | loose, utf8, &mail.from,
		    refusal_r))
		return false;
	while (next_param(&args, &key, &value)) {
		if (++count > SMTP_PARAMS_MAX)
			return refuse(
				refusal_r, 501, "5.5.4", "Too many parameters");
		if (!smtp_mail_param(key, value, offered, a, &mail, refusal_r))
			return false;
	}
	*mail_r = mail;
	return true;
}

/* notify-esmtp-value = "NEVER" / 1#("SUCCESS" / "FAILURE" / "DELAY") */
static bool parse_notify(struct str value, unsigned *notify_r)
{
	unsigned notify = 0;

	while (str_present(value)) {
		struct str word = str_cut(&value, ',');

		if (str_ieqc(word, "NEVER"))
			notify |= SMTP_NOTIFY_NEVER;
		else if (str_ieqc(word, "SUCCESS"))
			notify |= SMTP_NOTIFY_SUCCESS;
		else if (str_ieqc(word, "FAILURE"))
			notify |= SMTP_NOTIFY_FAILURE;
		else if (str_ieqc(word, "DELAY"))
			notify |= SMTP_NOTIFY_DELAY;
		else
			return false;
	}
	if ((notify & SMTP_NOTIFY_NEVER) != 0 && notify != SMTP_NOTIFY_NEVER)
		return false;
	*notify_r = notify;
	return notify != 0;
}

/* original-recipient-address = addr-type ";" xtext */
static bool parse_orcpt(struct str value, struct arena *a, struct str *orcpt_r)
{
	struct str address = value;
	struct str type = str_cut(&address, ';');
	struct str text;

	if (type.len == 0 || type.len > 32 || !str_present(address) ||
		address.len == 0 || address.len > 1000)
		return false;
	for (size_t i = 0; i < type.len; i++)
		if (!ascii_is_alnum(type.ptr[i]) && type.ptr[i] != '-')
			return false;
	if (!smtp_xtext_decode(address, a, &text) || text.len == 0)
		return false;
	*orcpt_r = arena_printf(a, "%.*s;%.*s", STR_ARG(type), STR_ARG(text));
	return true;
}

bool smtp_rcpt_parse(struct str args, bool utf8, unsigned loose,
	struct arena *a, struct smtp_rcpt *rcpt_r,
	struct smtp_refusal *refusal_r)
{
	struct smtp_rcpt rcpt = {0};
	struct str key, value;

	if (!skip_word(&args, "TO:", loose))
		return refuse(
			refusal_r, 501, "5.5.4", "Syntax: RCPT TO:<address>");
	if (!parse_path(&args, loose, utf8, &rcpt.to, refusal_r))
		return false;
	while (next_param(&args, &key, &value)) {
		bool notify = str_ieqc(key, "NOTIFY");
		bool orcpt = str_ieqc(key, "ORCPT");

		if (!notify && !orcpt)
			return refuse(refusal_r, 555, "5.5.4",
				"Unsupported parameter");
		if ((notify && rcpt.notify != 0) ||
			(orcpt && str_present(rcpt.orcpt)))
			return refuse(
				refusal_r, 501, "5.5.4", "Duplicate parameter");
		if ((notify && !parse_notify(value, &rcpt.notify)) ||
			(orcpt && !parse_orcpt(value, a, &rcpt.orcpt)))
			return refuse(
				refusal_r, 501, "5.5.4", "Bad parameter value");
	}
	*rcpt_r = rcpt;
	return true;
}

bool smtp_bdat_parse(struct str args, uint64_t *octets_r, bool *last_r)
{
	struct str rest = args;
	struct str size = str_word(&rest, " \t");
	struct str word = str_word(&rest, " \t");

	if (!str_present(size) || !ascii_is_digit(size.ptr[0]) ||
		!str_u64(size, octets_r) || str_present(str_word(&rest, " \t")))
		return false;
	*last_r = str_present(word);
	return !*last_r || str_ieqc(word, "LAST");
}
