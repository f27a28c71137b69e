/* SPDX-License-Identifier: ISC */
#include "codec/smtp/path.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/utf8.h"

/* atext = ALPHA / DIGIT / printable specials of RFC 5322 3.2.3 */
static bool is_atext(char c, unsigned flags)
{
	if ((unsigned char)c >= 0x80)
		return (flags & SMTP_PATH_UTF8) != 0;
	return ascii_is_alnum(c) ||
	       (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

/* Length of a Quoted-string at the front, 0 when there is none. */
static size_t quoted_length(struct str s, unsigned flags)
{
	size_t i = 1;

	if (s.len == 0 || s.ptr[0] != '"')
		return 0;
	for (; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];

		if (c == '"')
			return i + 1;
		if (c == '\\') {
			if (++i == s.len)
				return 0;
			c = (unsigned char)s.ptr[i];
			if (c < 0x20 || c > 0x7e)
				return 0;
		} else if (c < 0x20 || c == 0x7f ||
			   (c >= 0x80 && (flags & SMTP_PATH_UTF8) == 0)) {
			return 0;
		}
	}
	return 0;
}

/* Local-part = Dot-string / Quoted-string */
static size_t local_length(struct str s, unsigned flags)
{
	if (s.len > 0 && s.ptr[0] == '"')
		return quoted_length(s, flags);
	size_t i = 0;
	while (i < s.len) {
		size_t start = i;

		while (i < s.len && is_atext(s.ptr[i], flags))
			i++;
		if (i == start)
			return 0;
		if (i == s.len || s.ptr[i] != '.')
			break;
		i++;
		if (i == s.len)
			return 0;
	}
	return i;
}

bool smtp_domain_valid(struct str domain, bool utf8)
{
	bool letters = false;

	if (str_ends(domain, ".") && domain.len > 1)
		domain.len--;
	if (domain.len == 0 || domain.len > SMTP_DOMAIN_MAX)
		return false;
	if (utf8 && !utf8_valid(domain))
		return false;
	while (str_present(domain)) {
		struct str label = str_cut(&domain, '.');

		if (label.len == 0 || label.len > 63 || label.ptr[0] == '-' ||
			label.ptr[label.len - 1] == '-')
			return false;
		for (size_t i = 0; i < label.len; i++) {
			char c = label.ptr[i];

			if ((unsigned char)c >= 0x80
					? !utf8
					: !ascii_is_alnum(c) && c != '-' &&
						  c != '_')
				return false;
			letters |= !ascii_is_digit(c);
		}
	}
	return letters;
}

bool smtp_domain_is_numeric(struct str domain)
{
	char text[INET_ADDRSTRLEN];
	unsigned char addr[4];

	if (domain.len >= sizeof(text) || str_find(domain, '\0') >= 0)
		return false;
	memcpy(text, domain.ptr, domain.len);
	text[domain.len] = '\0';
	return inet_pton(AF_INET, text, addr) == 1;
}

bool smtp_literal_valid(struct str s)
{
	char text[INET6_ADDRSTRLEN];
	unsigned char addr[16];

	if (s.len < 3 || s.ptr[0] != '[' || s.ptr[s.len - 1] != ']')
		return false;
	s = str_sub(s, 1, s.len - 2);
	bool six = str_istarts(s, "IPv6:");
	if (six)
		s = str_from_at(s, 5);
	if (s.len >= sizeof(text) || str_find(s, '\0') >= 0)
		return false;
	memcpy(text, s.ptr, s.len);
	text[s.len] = '\0';
	return inet_pton(six ? AF_INET6 : AF_INET, text, addr) == 1;
}

/* Length of the domain or literal at the front of s. */
static size_t domain_length(struct str s, unsigned flags)
{
	size_t i = 0;

	if (s.len > 0 && s.ptr[0] == '[') {
		ptrdiff_t end = str_find(s, ']');

		if (end < 0 ||
			!smtp_literal_valid(str_sub(s, 0, (size_t)end + 1)))
			return 0;
		return (size_t)end + 1;
	}
	while (i < s.len && (ascii_is_alnum(s.ptr[i]) || s.ptr[i] == '.' ||
				    s.ptr[i] == '-' || s.ptr[i] == '_' ||
				    (unsigned char)s.ptr[i] >= 0x80))
		i++;
	struct str domain = str_sub(s, 0, i);
	if (!smtp_domain_valid(domain, (flags & SMTP_PATH_UTF8) != 0) &&
		((flags & SMTP_PATH_NUMERIC) == 0 ||
			!smtp_domain_is_numeric(domain)))
		return 0;
	return i;
}

/* A-d-l ":", the source route that is read and dropped: RFC 5321 F.2 */
static size_t route_length(struct str s)
{
	ptrdiff_t colon = str_find(s, ':');

	if (s.len == 0 || s.ptr[0] != '@' || colon < 0)
		return 0;
	struct str route = str_sub(s, 0, (size_t)colon);
	while (str_present(route)) {
		struct str hop = str_cut(&route, ',');

		if (hop.len < 2 || hop.ptr[0] != '@' ||
			!smtp_domain_valid(str_from_at(hop, 1), false))
			return 0;
	}
	return (size_t)colon + 1;
}

static bool bad(struct smtp_bad *bad_r, size_t at, const char *rule)
{
	bad_r->at = at;
	bad_r->rule = rule;
	return false;
}

/* Mailbox = Local-part "@" ( Domain / address-literal ) */
static bool parse_mailbox(struct str s, unsigned flags, size_t at,
	struct smtp_path *path, size_t *used_r, struct smtp_bad *bad_r)
{
	size_t local = local_length(s, flags);

	if (local == 0)
		return bad(bad_r, at, "RFC 5321 4.1.2 Local-part");
	if (local > SMTP_LOCAL_MAX)
		return bad(bad_r, at, "RFC 5321 4.5.3.1.1 local-part too long");
	path->local = str_sub(s, 0, local);
	if ((flags & SMTP_PATH_UTF8) != 0 && !utf8_valid(path->local))
		return bad(bad_r, at, "RFC 6531 3.3 UTF-8");
	if (local == s.len || s.ptr[local] != '@') {
		/* RFC 5321 4.5.1: <postmaster> needs no domain. */
		if (!str_ieqc(path->local, "postmaster"))
			return bad(bad_r, at + local, "RFC 5321 4.1.2 Mailbox");
		path->domain = STR_NONE;
		*used_r = local;
		return true;
	}
	struct str rest = str_from_at(s, local + 1);
	bool none = rest.len == 0 || rest.ptr[0] == '>' || rest.ptr[0] == ' ';
	size_t domain = domain_length(rest, flags);
	if (domain == 0 && (!none || (flags & SMTP_PATH_NULL_DOMAIN) == 0))
		return bad(bad_r, at + local + 1, "RFC 5321 4.1.2 Domain");
	path->domain = str_sub(rest, 0, domain);
	*used_r = local + 1 + domain;
	return true;
}

bool smtp_path_parse(struct str *in, unsigned flags, struct smtp_path *path_r,
	struct smtp_bad *bad_r)
{
	struct smtp_path path = {0};
	struct str s = *in;
	size_t i = 0;
	size_t used;
	bool bracket = s.len > 0 && s.ptr[0] == '<';

	if (!bracket && (flags & SMTP_PATH_BARE) == 0)
		return bad(bad_r, 0, "RFC 5321 4.1.2 Path");
	if (bracket)
		i = 1;
	if (bracket && s.len > 1 && s.ptr[1] == '>') {
		if ((flags & SMTP_PATH_EMPTY) == 0)
			return bad(bad_r, 1, "RFC 5321 4.1.2 Forward-path");
		path.whole = path.local = str_sub(s, 1, 0);
		*path_r = path;
		*in = str_from_at(s, 2);
		return true;
	}
	i += route_length(str_from_at(s, i));
	if (!parse_mailbox(str_from_at(s, i), flags, i, &path, &used, bad_r))
		return false;
	if (used > SMTP_PATH_MAX + SMTP_LOCAL_MAX)
		return bad(bad_r, i, "RFC 5321 4.5.3.1.3 path too long");
	path.whole = str_sub(s, i, used);
	i += used;
	if (bracket && (i == s.len || s.ptr[i++] != '>'))
		return bad(bad_r, i, "RFC 5321 4.1.2 Path");
	*path_r = path;
	*in = str_from_at(s, i);
	return true;
}

void smtp_address_split(
	struct str address, struct str *local_r, struct str *domain_r)
{
	bool quoted = false;
	ptrdiff_t at = -1;

	for (size_t i = 0; i < address.len; i++) {
		if (address.ptr[i] == '\\' && quoted)
			i++;
		else if (address.ptr[i] == '"')
			quoted = !quoted;
		else if (address.ptr[i] == '@' && !quoted)
			at = (ptrdiff_t)i;
	}
	*local_r = at < 0 ? address : str_sub(address, 0, (size_t)at);
	*domain_r = at < 0 ? STR_NONE : str_from_at(address, (size_t)at + 1);
}

struct str smtp_address_unquoted(struct str address, struct arena *a)
{
	struct str local, domain;
	char *out = arena_alloc(a, address.len + 1);
	size_t n = 0;

	smtp_address_split(address, &local, &domain);
	if (local.len < 2 || local.ptr[0] != '"')
		return address;
	for (size_t i = 0; i < local.len; i++) {
		if (local.ptr[i] == '"')
			continue;
		i += local.ptr[i] == '\\' && i + 1 < local.len;
		out[n++] = local.ptr[i];
	}
	memcpy(out + n, local.ptr + local.len, address.len - local.len);
	return str_of(out, n + address.len - local.len);
}

struct str smtp_address_domain(struct str address)
{
	struct str local, domain;

	smtp_address_split(address, &local, &domain);
	return str_present(domain) && domain.len > 0 && domain.ptr[0] != '['
		       ? domain
		       : STR_NONE;
}

bool smtp_address_valid(struct str address, bool utf8)
{
	struct smtp_bad bad;
	struct smtp_path path;
	struct str rest = address;

	return smtp_path_parse(&rest,
		       SMTP_PATH_BARE | (utf8 ? SMTP_PATH_UTF8 : 0u), &path,
		       &bad) &&
	       rest.len == 0 && str_present(path.domain) &&
	       path.domain.ptr[0] != '[';
}

bool smtp_domain_is_below(struct str name, struct str domain)
{
	return str_ieq(name, domain) ||
	       (name.len > domain.len && str_iends(name, domain) &&
		       name.ptr[name.len - domain.len - 1] == '.');
}

bool smtp_address_clean(struct str address)
{
	for (size_t i = 0; i < address.len; i++)
		if ((unsigned char)address.ptr[i] < 0x20 ||
			address.ptr[i] == 0x7f)
			return false;
	return true;
}
