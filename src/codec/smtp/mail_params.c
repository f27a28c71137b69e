/* SPDX-License-Identifier: ISC */
/* The parameters of MAIL: one row each. */
#include "codec/mail/date.h"
#include "codec/smtp/command.h"

typedef bool param_f(struct str value, struct arena *a, struct smtp_mail *m);

/* RFC 1870 6: 1*20DIGIT */
static bool read_size(
	struct str value, struct arena *a UNUSED, struct smtp_mail *m)
{
	m->flags |= SMTP_MAIL_SIZE;
	return value.len <= 20 && str_u64(value, &m->size);
}

static bool read_body(
	struct str value, struct arena *a UNUSED, struct smtp_mail *m)
{
	m->flags |= str_ieqc(value, "8BITMIME")     ? SMTP_MAIL_8BIT
		    : str_ieqc(value, "BINARYMIME") ? SMTP_MAIL_BINARY
						    : 0u;
	return str_ieqc(value, "7BIT") || str_ieqc(value, "8BITMIME") ||
	       str_ieqc(value, "BINARYMIME");
}

static bool read_utf8(
	struct str value, struct arena *a UNUSED, struct smtp_mail *m)
{
	m->flags |= SMTP_MAIL_UTF8;
	return !str_present(value);
}

static bool read_requiretls(
	struct str value, struct arena *a UNUSED, struct smtp_mail *m)
{
	m->flags |= SMTP_MAIL_REQUIRETLS;
	return !str_present(value);
}

static bool read_ret(
	struct str value, struct arena *a UNUSED, struct smtp_mail *m)
{
	m->flags |= str_ieqc(value, "FULL") ? SMTP_MAIL_RET_FULL
					    : SMTP_MAIL_RET_HDRS;
	return str_ieqc(value, "FULL") || str_ieqc(value, "HDRS");
}

static bool read_envid(struct str value, struct arena *a, struct smtp_mail *m)
{
	return value.len > 0 && value.len <= 300 &&
	       smtp_xtext_decode(value, a, &m->envid);
}

/* RFC 4954 5: <> or a mailbox */
static bool read_auth(struct str value, struct arena *a, struct smtp_mail *m)
{
	if (value.len == 0 || value.len > 500 ||
		!smtp_xtext_decode(value, a, &m->auth))
		return false;
	if (str_eqc(m->auth, "<>"))
		return true;
	for (size_t i = 0; i < m->auth.len; i++)
		if (m->auth.ptr[i] == '<' || m->auth.ptr[i] == '>' ||
			m->auth.ptr[i] == '"' || m->auth.ptr[i] == ' ')
			return false;
	return true;
}

/* RFC 6710 5: ["-"] NONZERO-DIGIT / "0" */
static bool read_priority(
	struct str value, struct arena *a UNUSED, struct smtp_mail *m)
{
	bool minus = str_starts(value, "-");
	struct str digit = str_from_at(value, minus);

	if (digit.len != 1 || !ascii_is_digit(digit.ptr[0]) ||
		(minus && digit.ptr[0] == '0'))
		return false;
	m->flags |= SMTP_MAIL_PRIORITY;
	m->priority = (digit.ptr[0] - '0') * (minus ? -1 : 1);
	return true;
}

/* RFC 2852 4: by-time ";" by-mode [by-trace]; "R" needs a time to come. */
static bool read_by(
	struct str value, struct arena *a UNUSED, struct smtp_mail *m)
{
	struct str mode = value;
	struct str time = str_cut(&mode, ';');
	bool minus = str_starts(time, "-");
	uint64_t seconds;

	time = str_from_at(time, minus);
	if (time.len > 9 || !str_u64(time, &seconds) || mode.len < 1 ||
		mode.len > 2)
		return false;
	char how = ascii_upper(mode.ptr[0]);
	if (how != 'R' && how != 'N')
		return false;
	if (mode.len == 2 && ascii_upper(mode.ptr[1]) != 'T')
		return false;
	m->by = minus ? -(int64_t)seconds : (int64_t)seconds;
	m->flags |= SMTP_MAIL_BY | (how == 'R' ? SMTP_MAIL_BY_RETURN : 0u) |
		    (mode.len == 2 ? SMTP_MAIL_BY_TRACE : 0u);
	return how == 'N' || m->by > 0;
}

/* RFC 4865 4: 1 to 9 digits, no leading zero */
static bool read_holdfor(
	struct str value, struct arena *a UNUSED, struct smtp_mail *m)
{
	uint64_t seconds;

	if (value.len > 9 || !str_u64(value, &seconds) || seconds == 0 ||
		value.ptr[0] == '0' || (m->flags & SMTP_MAIL_HOLDUNTIL) != 0)
		return false;
	m->flags |= SMTP_MAIL_HOLDFOR;
	m->hold_for = (int64_t)seconds;
	return true;
}

static bool read_holduntil(
	struct str value, struct arena *a UNUSED, struct smtp_mail *m)
{
	m->flags |= SMTP_MAIL_HOLDUNTIL;
	return internet_date_parse(value, &m->hold_until) &&
	       (m->flags & SMTP_MAIL_HOLDFOR) == 0;
}

/* VERP_README: nothing, or the two delimiters */
static bool read_verp(
	struct str value, struct arena *a UNUSED, struct smtp_mail *m)
{
	m->flags |= SMTP_MAIL_VERP;
	m->verp = value;
	return !str_present(value) || value.len == 2;
}

static const struct {
	const char *name;
	param_f *read;
	unsigned offer; /* 0: always there */
} params[] = {
	{"SIZE", read_size, 0},
	{"BODY", read_body, 0},
	{"SMTPUTF8", read_utf8, SMTP_OFFER_UTF8},
	{"RET", read_ret, 0},
	{"ENVID", read_envid, 0},
	{"AUTH", read_auth, 0},
	{"REQUIRETLS", read_requiretls, SMTP_OFFER_REQUIRETLS},
	{"MT-PRIORITY", read_priority, SMTP_OFFER_PRIORITY},
	{"BY", read_by, SMTP_OFFER_DELIVERBY},
	{"HOLDFOR", read_holdfor, SMTP_OFFER_FUTURERELEASE},
	{"HOLDUNTIL", read_holduntil, SMTP_OFFER_FUTURERELEASE},
	{"XVERP", read_verp, SMTP_OFFER_VERP},
};

static bool refuse(struct smtp_refusal *r, int code, const char *text)
{
	*r = (struct smtp_refusal){code, "5.5.4", text};
	return false;
}

bool smtp_mail_param(struct str key, struct str value, unsigned offered,
	struct arena *a, struct smtp_mail *mail, struct smtp_refusal *refusal_r)
{
	for (size_t i = 0; i < ARRAY_LEN(params); i++) {
		if (!str_ieqc(key, params[i].name))
			continue;
		if ((params[i].offer & ~offered) != 0)
			break;
		if ((mail->seen & 1u << i) != 0)
			return refuse(refusal_r, 501, "Duplicate parameter");
		mail->seen |= 1u << i;
		if (!params[i].read(value, a, mail) ||
			((mail->flags & SMTP_MAIL_BINARY) != 0 &&
				(offered & SMTP_OFFER_BINARYMIME) == 0))
			return refuse(refusal_r, 501, "Bad parameter value");
		return true;
	}
	return refuse(refusal_r, 555, "Unsupported parameter");
}
