/* SPDX-License-Identifier: ISC */
#include "codec/mail/authres.h"

#include <string.h>

/* ---- reading ---- */

/* RFC 5322 3.2.2 CFWS; false: a comment has no end. */
static bool skip_cfws(struct str *rest)
{
	size_t depth = 0, i = 0;

	for (; i < rest->len; i++) {
		char c = rest->ptr[i];

		if (depth > 0 && c == '\\')
			i++;
		else if (c == '(')
			depth++;
		else if (depth > 0)
			depth -= c == ')';
		else if (c != ' ' && c != '\t' && c != '\r' && c != '\n')
			break;
	}
	*rest = str_from_at(*rest, i);
	return depth == 0;
}

/* A quoted-string against a text, its escapes undone. */
static bool quoted_is(struct str *rest, struct str wanted, bool *same_r)
{
	size_t at = 0, i = 1;

	*same_r = true;
	for (; i < rest->len && rest->ptr[i] != '"'; i++) {
		char c = rest->ptr[i];

		if (c == '\r' || c == '\n')
			continue;
		if (c == '\\' && i + 1 < rest->len)
			c = rest->ptr[++i];
		*same_r = *same_r && at < wanted.len &&
			  ascii_lower(c) == ascii_lower(wanted.ptr[at]);
		at++;
	}
	*same_r = *same_r && at == wanted.len;
	if (i >= rest->len)
		return false;
	*rest = str_from_at(*rest, i + 1);
	return true;
}

static bool is_end_of_token(char c)
{
	return (unsigned char)c <= 0x20 || c == 0x7f ||
	       strchr("()<>@,;:\\\"/[]?=", c) != NULL;
}

static struct str cut_token(struct str *rest)
{
	size_t n = 0;

	while (n < rest->len && !is_end_of_token(rest->ptr[n]))
		n++;
	struct str token = str_sub(*rest, 0, n);
	*rest = str_from_at(*rest, n);
	return token;
}

bool authres_claims(struct str value, struct str authserv_id)
{
	struct str rest = value, version;
	uint64_t number;
	bool same;

	if (!skip_cfws(&rest) || rest.len == 0)
		return true;
	if (rest.ptr[0] == '"') {
		if (!quoted_is(&rest, authserv_id, &same))
			return true;
	} else {
		struct str id = cut_token(&rest);

		if (id.len == 0)
			return true;
		if (str_ends(id, "."))
			id.len--;
		same = str_ieq(id, authserv_id);
	}
	if (same)
		return true;
	/* Of somebody else, if it goes on as it should. */
	if (!skip_cfws(&rest))
		return true;
	version = cut_token(&rest);
	if (version.len > 0 && !str_u64(version, &number))
		return true;
	return !skip_cfws(&rest) || (rest.len > 0 && rest.ptr[0] != ';');
}

/* To behind the next semicolon that is in no comment and no quotes. */
static bool skip_result(struct str *rest)
{
	while (rest->len > 0) {
		char c = rest->ptr[0];
		bool same;

		if (c == '(') {
			if (!skip_cfws(rest))
				return false;
		} else if (c == '"') {
			if (!quoted_is(rest, STR(""), &same))
				return false;
		} else {
			*rest = str_from_at(*rest, 1);
			if (c == ';')
				return true;
		}
	}
	return false;
}

struct str authres_find(struct str value, const char *method)
{
	struct str rest = value;

	while (skip_result(&rest)) {
		if (!skip_cfws(&rest))
			break;
		struct str name = cut_token(&rest);
		/* "method/1 = result" */
		if (!skip_cfws(&rest))
			break;
		if (rest.len > 0 && rest.ptr[0] == '/') {
			rest = str_from_at(rest, 1);
			if (!skip_cfws(&rest))
				break;
			cut_token(&rest);
			if (!skip_cfws(&rest))
				break;
		}
		if (!str_ieqc(name, method) || rest.len == 0 ||
			rest.ptr[0] != '=')
			continue;
		rest = str_from_at(rest, 1);
		return skip_cfws(&rest) ? cut_token(&rest) : STR_NONE;
	}
	return STR_NONE;
}

/* ---- writing ---- */

static char safe(char c, bool utf8)
{
	unsigned char u = (unsigned char)c;

	return u < 0x20 || u == 0x7f || (u >= 0x80 && !utf8) ? '?' : c;
}

static bool is_token(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (is_end_of_token(s.ptr[i]) || (unsigned char)s.ptr[i] > 0x7e)
			return false;
	return s.len > 0;
}

/* dot-atom "@" domain, or "@" domain */
static bool is_address(struct str s)
{
	ptrdiff_t at = str_rfind(s, '@');

	if (at < 0 || !is_token(str_from_at(s, (size_t)at + 1)))
		return false;
	for (size_t i = 0; i < (size_t)at; i++) {
		char c = s.ptr[i];

		if (!ascii_is_alnum(c) &&
			(c == '\0' ||
				strchr("!#$%&'*+-/=?^_`{|}~.", c) == NULL))
			return false;
	}
	return true;
}

void authres_put_value(struct buf *out, struct str value, bool utf8)
{
	if (is_token(value) || is_address(value)) {
		buf_put(out, value);
		return;
	}
	buf_putc(out, '"');
	for (size_t i = 0; i < value.len; i++) {
		char c = safe(value.ptr[i], utf8);

		if (c == '"' || c == '\\')
			buf_putc(out, '\\');
		buf_putc(out, c);
	}
	buf_putc(out, '"');
}

void authres_begin(
	struct authres_writer *w, const char *field, struct str authserv_id)
{
	buf_putf(w->out, "%s: ", field);
	authres_put_value(w->out, authserv_id, w->utf8);
	w->any = false;
}

void authres_result(
	struct authres_writer *w, const char *method, const char *result)
{
	buf_putf(w->out, ";\r\n\t%s=%s", method, result);
	w->any = true;
}

void authres_reason(struct authres_writer *w, struct str why)
{
	if (why.len == 0)
		return;
	buf_puts(w->out, " reason=");
	authres_put_value(w->out, str_sub(why, 0, 200), w->utf8);
}

void authres_property(
	struct authres_writer *w, const char *name, struct str value)
{
	if (!str_present(value) || value.len == 0)
		return;
	buf_putf(w->out, "\r\n\t %s=", name);
	authres_put_value(w->out, str_sub(value, 0, 400), w->utf8);
}

void authres_end(struct authres_writer *w)
{
	buf_puts(w->out, w->any ? "\r\n" : "; none\r\n");
}
