/* SPDX-License-Identifier: ISC */
#include "codec/mail/spf.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/attr.h"
#include "base/buf.h"

enum { TERMS_MAX = 512, NAME_MAX_LEN = 253 };

const char *spf_result_name(enum spf_result r)
{
	static const char *const names[] = {"none", "neutral", "pass", "fail",
		"softfail", "temperror", "permerror"};

	return names[r];
}

bool spf_is_record(struct str text)
{
	return str_istarts(text, "v=spf1") &&
	       (text.len == 6 || text.ptr[6] == ' ');
}

/* ---- macro-string, domain-spec ---- */

static bool is_delimiter(char c)
{
	return c != '\0' && strchr(".-+,/_=", c) != NULL;
}

/* The macro at the start of s, which is "%"; its length, 0 for a bad one. */
static size_t macro_length(struct str s, bool in_exp)
{
	size_t i = 3;

	if (s.len < 2)
		return 0;
	if (s.ptr[1] == '%' || s.ptr[1] == '_' || s.ptr[1] == '-')
		return 2;
	if (s.len < 4 || s.ptr[1] != '{')
		return 0;
	char letter = ascii_lower(s.ptr[2]);
	if (letter == '\0' ||
		strchr(in_exp ? "slodiphcrtv" : "slodiphv", letter) == NULL)
		return 0;
	size_t digits = i;
	while (i < s.len && ascii_is_digit(s.ptr[i]))
		i++;
	bool zero = i > digits;
	for (size_t k = digits; k < i; k++)
		zero &= s.ptr[k] == '0';
	if (zero || i - digits > 3)
		return 0;
	if (i < s.len && ascii_lower(s.ptr[i]) == 'r')
		i++;
	while (i < s.len && is_delimiter(s.ptr[i]))
		i++;
	return i < s.len && s.ptr[i] == '}' ? i + 1 : 0;
}

/* *macro_end_r: it ends with a macro that expands to something. */
static bool macro_string_valid(struct str s, bool in_exp, bool *macro_end_r)
{
	*macro_end_r = false;
	for (size_t i = 0; i < s.len;) {
		unsigned char c = (unsigned char)s.ptr[i];
		size_t n = 1;

		if (c == '%') {
			n = macro_length(str_from_at(s, i), in_exp);
			if (n == 0)
				return false;
		} else if (c > 0x7e || c < (in_exp ? 0x20 : 0x21)) {
			return false;
		}
		*macro_end_r = c == '%';
		i += n;
	}
	return true;
}

/* toplabel of 7.1: letters, digits and hyphens, not digits alone */
static bool is_toplabel(struct str s)
{
	bool digits = true;

	for (size_t i = 0; i < s.len; i++) {
		if (!ascii_is_alnum(s.ptr[i]) && s.ptr[i] != '-')
			return false;
		digits &= ascii_is_digit(s.ptr[i]);
	}
	return s.len > 0 && !digits && s.ptr[0] != '-' &&
	       s.ptr[s.len - 1] != '-';
}

static bool domain_spec_valid(struct str s)
{
	bool macro_end;

	if (s.len == 0 || !macro_string_valid(s, false, &macro_end))
		return false;
	if (macro_end)
		return true;
	if (str_ends(s, "."))
		s.len--;
	ptrdiff_t dot = str_rfind(s, '.');
	return dot >= 0 && is_toplabel(str_from_at(s, (size_t)dot + 1));
}

/* ---- terms ---- */

/* A number without leading zeros, up to max. */
static bool parse_prefix(struct str s, unsigned max, unsigned *bits_r)
{
	uint64_t n;

	if (s.len == 0 || s.len > 3 || (s.len > 1 && s.ptr[0] == '0') ||
		!str_u64(s, &n) || n > max)
		return false;
	*bits_r = (unsigned)n;
	return true;
}

static size_t digits_at_end(struct str s)
{
	size_t n = 0;

	while (n < s.len && ascii_is_digit(s.ptr[s.len - 1 - n]))
		n++;
	return n;
}

/* [ip4-cidr-length] ["/" ip6-cidr-length] at the end of *s, cut off. */
static bool cut_dual_prefix(struct str *s, struct spf_term *t)
{
	size_t n = digits_at_end(*s);
	struct str number = str_from_at(*s, s->len - n);

	if (s->len >= n + 2 && s->ptr[s->len - n - 1] == '/' &&
		s->ptr[s->len - n - 2] == '/') {
		if (!parse_prefix(number, 128, &t->prefix6))
			return false;
		s->len -= n + 2;
		n = digits_at_end(*s);
		number = str_from_at(*s, s->len - n);
	}
	if (s->len >= n + 1 && s->ptr[s->len - n - 1] == '/') {
		if (!parse_prefix(number, 32, &t->prefix4))
			return false;
		s->len -= n + 1;
	}
	return true;
}

static bool parse_address(struct str value, struct spf_term *t)
{
	bool six = t->mechanism == SPF_IP6;
	struct str host = str_cut(&value, '/');
	char text[64];

	if (str_present(value) && !parse_prefix(value, six ? 128 : 32,
					  six ? &t->prefix6 : &t->prefix4))
		return false;
	if (host.len == 0 || host.len >= sizeof(text) ||
		str_find(host, '\0') >= 0)
		return false;
	memcpy(text, host.ptr, host.len);
	text[host.len] = '\0';
	return inet_pton(six ? AF_INET6 : AF_INET, text, t->addr) == 1;
}

static bool mechanism_named(struct str name, enum spf_mechanism *m_r)
{
	static const char *const names[] = {
		"all", "include", "a", "mx", "ptr", "ip4", "ip6", "exists"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_ieqc(name, names[i])) {
			*m_r = (enum spf_mechanism)i;
			return true;
		}
	return false;
}

static bool parse_mechanism(struct str s, struct spf_term *t)
{
	static const char marks[] = "+-~?";
	static const enum spf_result meanings[] = {
		SPF_PASS, SPF_FAIL, SPF_SOFTFAIL, SPF_NEUTRAL};
	const char *mark = s.ptr[0] != '\0' ? strchr(marks, s.ptr[0]) : NULL;
	size_t n = 0;

	*t = (struct spf_term){.qualifier = SPF_PASS,
		.text = s,
		.prefix4 = 32,
		.prefix6 = 128};
	if (mark != NULL) {
		t->qualifier = meanings[mark - marks];
		s = str_from_at(s, 1);
	}
	while (n < s.len && s.ptr[n] != ':' && s.ptr[n] != '/')
		n++;
	if (!mechanism_named(str_sub(s, 0, n), &t->mechanism))
		return false;
	s = str_from_at(s, n);
	bool dual = t->mechanism == SPF_A || t->mechanism == SPF_MX;
	if (dual && !cut_dual_prefix(&s, t))
		return false;
	bool has = str_starts(s, ":");
	if (!has && s.len > 0)
		return false;
	struct str value = has ? str_from_at(s, 1) : STR_NONE;
	switch (t->mechanism) {
	case SPF_ALL:
		return !has;
	case SPF_IP4:
	case SPF_IP6:
		return has && parse_address(value, t);
	case SPF_INCLUDE:
	case SPF_EXISTS:
		t->domain = value;
		return has && domain_spec_valid(value);
	case SPF_A:
	case SPF_MX:
	case SPF_PTR:
		t->domain = value;
		return !has || domain_spec_valid(value);
	}
	return false;
}

/* name "=" macro-string; false: it is no modifier */
static bool is_modifier(struct str s, struct str *name_r, struct str *value_r)
{
	size_t n = 0;

	while (n < s.len && (ascii_is_alnum(s.ptr[n]) || s.ptr[n] == '-' ||
				    s.ptr[n] == '_' || s.ptr[n] == '.'))
		n++;
	if (n == 0 || !ascii_is_alpha(s.ptr[0]) || n >= s.len ||
		s.ptr[n] != '=')
		return false;
	*name_r = str_sub(s, 0, n);
	*value_r = str_from_at(s, n + 1);
	return true;
}

static bool take_modifier(
	struct str name, struct str value, struct spf_record *r)
{
	bool redirect = str_ieqc(name, "redirect");
	bool exp = str_ieqc(name, "exp");
	struct str *slot = redirect ? &r->redirect : &r->exp;
	bool ignored;

	if (!redirect && !exp)
		return macro_string_valid(value, true, &ignored);
	if (str_present(*slot) || !domain_spec_valid(value))
		return false;
	*slot = value;
	return true;
}

bool spf_record_parse(struct str text, struct arena *a,
	struct spf_record *record_r, struct str *why_r)
{
	struct str rest = str_from_at(text, 6), word;

	*record_r = (struct spf_record){
		.v = arena_alloc(a, TERMS_MAX * sizeof(*record_r->v))};
	while (str_present(word = str_word(&rest, " "))) {
		struct str name, value;
		bool ok = record_r->n < TERMS_MAX;

		if (word.len == 0)
			continue;
		if (ok && is_modifier(word, &name, &value))
			ok = take_modifier(name, value, record_r);
		else if (ok)
			ok = parse_mechanism(word, &record_r->v[record_r->n++]);
		if (!ok) {
			*why_r = arena_printf(a, "cannot be read: %.*s",
				STR_ARG(str_sub(word, 0, 100)));
			return false;
		}
	}
	return true;
}

/* ---- macros ---- */

static void put_address(const struct spf_macros *m, struct buf *out)
{
	for (size_t i = 0; i < m->addr_len; i++) {
		if (m->addr_len == 4)
			buf_putf(out, "%s%u", i > 0 ? "." : "", m->addr[i]);
		else
			buf_putf(out, "%s%X.%X", i > 0 ? "." : "",
				m->addr[i] >> 4, m->addr[i] & 15u);
	}
}

static struct str macro_value(
	char letter, const struct spf_macros *m, struct arena *a)
{
	struct buf b CLEANUP(buf_fini);
	char text[INET6_ADDRSTRLEN];

	switch (letter) {
	case 's':
		return m->sender;
	case 'l':
		return m->local;
	case 'o':
		return m->sender_domain;
	case 'd':
		return m->domain;
	case 'h':
		return m->helo;
	case 'r':
		return m->receiver;
	case 'p':
		return m->validated(m->ctx);
	case 'v':
		return m->addr_len == 4 ? STR("in-addr") : STR("ip6");
	case 't':
		return arena_printf(a, "%lld", (long long)m->now);
	case 'c':
		if (inet_ntop(m->addr_len == 4 ? AF_INET : AF_INET6, m->addr,
			    text, sizeof(text)) != NULL)
			return arena_str(a, str_from(text));
		break;
	default:
		break;
	}
	buf_init(&b, 128);
	put_address(m, &b);
	return arena_str(a, buf_str(&b));
}

/* RFC 3986 2.3: everything but the unreserved is escaped. */
static void put_escaped(struct str s, struct buf *out)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];

		if (ascii_is_alnum(c) || (c != '\0' && strchr("-._~", c)))
			buf_putc(out, c);
		else
			buf_putf(out, "%%%02X", (unsigned)(unsigned char)c);
	}
}

/* "{letter digits r delimiters}" applied to its value */
static void put_macro(struct str macro, const struct spf_macros *m,
	struct arena *a, struct buf *out)
{
	char letter = ascii_lower(macro.ptr[2]);
	struct str value = macro_value(letter, m, a);
	struct buf joined CLEANUP(buf_fini);
	struct strs parts = {0};
	const char *delimiters = ".";
	uint64_t keep = 0;
	bool reverse = false;
	size_t i = 3;

	for (; ascii_is_digit(macro.ptr[i]); i++)
		keep = keep * 10 + (uint64_t)(macro.ptr[i] - '0');
	if (ascii_lower(macro.ptr[i]) == 'r') {
		reverse = true;
		i++;
	}
	if (i + 1 < macro.len)
		delimiters =
			arena_cstr(a, str_sub(macro, i, macro.len - i - 1));
	for (size_t from = 0, k = 0; k <= value.len; k++)
		if (k == value.len ||
			(value.ptr[k] != '\0' &&
				strchr(delimiters, value.ptr[k]) != NULL)) {
			strs_add(&parts, a, str_sub(value, from, k - from));
			from = k + 1;
		}
	if (keep == 0 || keep > parts.n)
		keep = parts.n;
	buf_init(&joined, 65536);
	for (size_t k = parts.n - keep; k < parts.n; k++) {
		size_t at = reverse ? parts.n - 1 - k : k;

		if (k > parts.n - keep)
			buf_putc(&joined, '.');
		buf_put(&joined, parts.v[at]);
	}
	if (ascii_is_alpha(macro.ptr[2]) && macro.ptr[2] != letter)
		put_escaped(buf_str(&joined), out);
	else
		buf_put(out, buf_str(&joined));
}

static void expand(struct str spec, const struct spf_macros *m, bool in_exp,
	struct arena *a, struct buf *out)
{
	for (size_t i = 0; i < spec.len;) {
		size_t n = 1;

		if (spec.ptr[i] != '%') {
			buf_putc(out, spec.ptr[i]);
		} else {
			struct str rest = str_from_at(spec, i);

			n = macro_length(rest, in_exp);
			if (n == 0)
				return;
			if (rest.ptr[1] == '{')
				put_macro(str_sub(rest, 0, n), m, a, out);
			else
				buf_puts(out, rest.ptr[1] == '%'   ? "%"
					      : rest.ptr[1] == '_' ? " "
								   : "%20");
		}
		i += n;
	}
}

struct str spf_expand_domain(
	struct str spec, const struct spf_macros *m, struct arena *a)
{
	struct buf b CLEANUP(buf_fini);

	buf_init(&b, 65536);
	expand(spec, m, false, a, &b);
	struct str name = buf_str(&b);
	if (str_ends(name, "."))
		name.len--;
	while (name.len > NAME_MAX_LEN) {
		ptrdiff_t dot = str_find(name, '.');

		name = dot < 0 ? STR("") : str_from_at(name, (size_t)dot + 1);
	}
	return arena_str(a, name);
}

bool spf_expand_text(struct str spec, const struct spf_macros *m,
	struct arena *a, struct str *text_r)
{
	struct buf b CLEANUP(buf_fini);
	bool ignored;

	buf_init(&b, 65536);
	if (!macro_string_valid(spec, true, &ignored))
		return false;
	expand(spec, m, true, a, &b);
	*text_r = arena_str(a, buf_str(&b));
	return !buf_over(&b);
}

bool spf_uses_local_part(struct str spec)
{
	for (size_t i = 0; i + 2 < spec.len; i++) {
		char c = ascii_lower(spec.ptr[i + 2]);

		if (spec.ptr[i] == '%' && spec.ptr[i + 1] == '{' &&
			(c == 's' || c == 'l'))
			return true;
		/* "%%{l}" is a percent sign and a text. */
		i += spec.ptr[i] == '%';
	}
	return false;
}
