/* SPDX-License-Identifier: ISC */
#include "codec/imap/parse.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/must.h"
#include "base/sorted.h"
#include "base/utf8.h"
#include "codec/imap/utf7.h"

enum { SET_RANGES_MAX = 10000 };

bool imap_end(const struct imap_in *in)
{
	return in->rest.len == 0;
}

bool imap_char(struct imap_in *in, char c)
{
	if (in->rest.len == 0 || in->rest.ptr[0] != c)
		return false;
	in->rest = str_from_at(in->rest, 1);
	return true;
}

bool imap_space(struct imap_in *in)
{
	return imap_char(in, ' ');
}

/* ATOM-CHAR: no CTL, blank, or one of (){%*"\] */
static bool is_atom_char(char c)
{
	return (unsigned char)c > 0x20 && (unsigned char)c < 0x7f &&
	       strchr("(){%*\"\\]", c) == NULL;
}

static bool is_astring_char(char c)
{
	return is_atom_char(c) || c == ']';
}

static bool is_list_char(char c)
{
	return is_astring_char(c) || c == '%' || c == '*';
}

static bool is_tag_char(char c)
{
	return is_astring_char(c) && c != '+';
}

static bool run(struct imap_in *in, bool (*fits)(char), struct str *s_r)
{
	size_t n = 0;

	while (n < in->rest.len && fits(in->rest.ptr[n]))
		n++;
	if (n == 0)
		return false;
	*s_r = str_sub(in->rest, 0, n);
	in->rest = str_from_at(in->rest, n);
	return true;
}

bool imap_tag(struct imap_in *in, struct str *tag_r)
{
	return run(in, is_tag_char, tag_r);
}

bool imap_atom(struct imap_in *in, struct str *atom_r)
{
	return run(in, is_atom_char, atom_r);
}

bool imap_word(struct imap_in *in, const char *word)
{
	struct imap_in probe = *in;
	struct str atom;

	if (!imap_atom(&probe, &atom) || !str_ieqc(atom, word))
		return false;
	*in = probe;
	return true;
}

bool imap_number64(struct imap_in *in, uint64_t *n_r)
{
	size_t n = 0;

	while (n < in->rest.len && ascii_is_digit(in->rest.ptr[n]))
		n++;
	if (n == 0 || n > 19 || !str_u64(str_sub(in->rest, 0, n), n_r))
		return false;
	in->rest = str_from_at(in->rest, n);
	return true;
}

bool imap_number(struct imap_in *in, uint32_t *n_r)
{
	struct imap_in probe = *in;
	uint64_t v;

	if (!imap_number64(&probe, &v) || v > UINT32_MAX)
		return false;
	*n_r = (uint32_t)v;
	*in = probe;
	return true;
}

static bool quoted(struct imap_in *in, struct str *s_r)
{
	struct str s = in->rest;
	char *out = arena_alloc(in->a, s.len + 1);
	size_t n = 0;

	for (size_t i = 1; i < s.len; i++) {
		char c = s.ptr[i];

		if (c == '"') {
			*s_r = str_of(out, n);
			in->rest = str_from_at(s, i + 1);
			return true;
		}
		if (c == '\\') {
			if (++i == s.len)
				return false;
			c = s.ptr[i];
			if (c != '"' && c != '\\')
				return false;
		}
		if (c == '\0' || c == '\r' || c == '\n')
			return false;
		out[n++] = c;
	}
	return false;
}

static bool literal(struct imap_in *in, struct str *s_r)
{
	struct imap_in probe = *in;
	uint64_t size;

	if (!imap_char(&probe, '{') || !imap_number64(&probe, &size))
		return false;
	imap_char(&probe, '+');
	if (!str_starts(probe.rest, "}\r\n"))
		return false;
	probe.rest = str_from_at(probe.rest, 3);
	if (size > probe.rest.len)
		return false;
	*s_r = str_sub(probe.rest, 0, (size_t)size);
	in->rest = str_from_at(probe.rest, (size_t)size);
	return true;
}

bool imap_literal8(struct imap_in *in, struct str *s_r, bool *binary_r)
{
	struct imap_in probe = *in;

	*binary_r = imap_char(&probe, '~');
	if (!literal(&probe, s_r))
		return false;
	*in = probe;
	return true;
}

bool imap_string(struct imap_in *in, struct str *s_r)
{
	if (in->rest.len == 0)
		return false;
	if (in->rest.ptr[0] == '"')
		return quoted(in, s_r);
	return in->rest.ptr[0] == '{' && literal(in, s_r);
}

bool imap_astring(struct imap_in *in, struct str *s_r)
{
	return imap_string(in, s_r) || run(in, is_astring_char, s_r);
}

bool imap_list_mailbox(struct imap_in *in, struct str *s_r)
{
	return imap_string(in, s_r) || run(in, is_list_char, s_r);
}

bool imap_mailbox(struct imap_in *in, struct str *name_r)
{
	struct imap_in probe = *in;
	struct str raw, name;

	if (!imap_astring(&probe, &raw))
		return false;
	if (in->utf8 && utf8_valid(raw)) {
		name = raw;
	} else if (!imap_utf7_decode(raw, in->a, &name)) {
		if (!utf8_is_ascii(raw))
			return false;
		name = raw;
	}
	if (str_ieqc(name, "INBOX"))
		name = STR("INBOX");
	*in = probe;
	*name_r = name;
	return true;
}

bool imap_flag(struct imap_in *in, struct str *flag_r)
{
	struct imap_in probe = *in;
	struct str atom;
	bool system = imap_char(&probe, '\\');

	if (!imap_atom(&probe, &atom))
		return false;
	*flag_r = system ? str_of(atom.ptr - 1, atom.len + 1) : atom;
	*in = probe;
	return true;
}

bool imap_flag_list(struct imap_in *in, struct strs *flags_r)
{
	struct imap_in probe = *in;
	struct strs flags = {0};
	struct str flag;

	if (!imap_char(&probe, '('))
		return false;
	while (imap_flag(&probe, &flag)) {
		strs_add(&flags, in->a, flag);
		if (!imap_space(&probe))
			break;
	}
	if (!imap_char(&probe, ')'))
		return false;
	*in = probe;
	*flags_r = flags;
	return true;
}

bool imap_literal_announced(struct str line, uint64_t *size_r, bool *non_sync_r)
{
	ptrdiff_t open = str_rfind(line, '{');

	if (open < 0 || !str_ends(line, "}"))
		return false;
	struct str n =
		str_sub(line, (size_t)open + 1, line.len - (size_t)open - 2);
	bool plus = str_ends(n, "+");
	if (plus)
		n.len--;
	/* A number beyond 64 bits is still a literal: one nobody may send. */
	if (!str_u64(n, size_r)) {
		for (size_t i = 0; i < n.len; i++)
			if (!ascii_is_digit(n.ptr[i]))
				return false;
		if (n.len == 0)
			return false;
		*size_r = UINT64_MAX;
	}
	*non_sync_r = plus;
	return true;
}

static bool set_number(struct imap_in *in, uint32_t *n_r)
{
	if (imap_char(in, '*')) {
		*n_r = IMAP_STAR;
		return true;
	}
	return imap_number(in, n_r) && *n_r != 0;
}

bool imap_set_parse(struct imap_in *in, struct imap_set *set_r)
{
	struct imap_in probe = *in;
	struct imap_set set = {0};
	size_t cap = 0;

	do {
		struct imap_range r;

		if (!set_number(&probe, &r.first))
			return false;
		r.last = r.first;
		if (imap_char(&probe, ':') && !set_number(&probe, &r.last))
			return false;
		if (set.n == SET_RANGES_MAX)
			return false;
		if (set.n == cap) {
			cap = cap > 0 ? cap * 2 : 8;
			struct imap_range *v =
				arena_alloc(in->a, cap * sizeof(*v));
			if (set.n > 0)
				memcpy(v, set.v, set.n * sizeof(*v));
			set.v = v;
		}
		set.v[set.n++] = r;
	} while (imap_char(&probe, ','));
	*in = probe;
	*set_r = set;
	return true;
}

static int by_first(const void *x, const void *y)
{
	return sorted_by_u32(&((const struct imap_range *)x)->first,
		&((const struct imap_range *)y)->first);
}

static struct imap_range settled(struct imap_range r, uint32_t max)
{
	if (r.first == IMAP_STAR)
		r.first = max;
	if (r.last == IMAP_STAR)
		r.last = max;
	return r.first <= r.last ? r : (struct imap_range){r.last, r.first};
}

void imap_set_settle(struct imap_set *set, uint32_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < set->n; i++)
		set->v[i] = settled(set->v[i], max);
	if (set->n > 0)
		qsort(set->v, set->n, sizeof(*set->v), by_first);
	for (size_t i = 0; i < set->n; i++) {
		struct imap_range *last = n > 0 ? &set->v[n - 1] : NULL;

		if (last == NULL || (last->last != UINT32_MAX &&
					    set->v[i].first > last->last + 1))
			set->v[n++] = set->v[i];
		else if (set->v[i].last > last->last)
			last->last = set->v[i].last;
	}
	set->n = n;
}

static int number_in_range(const void *number, const void *range)
{
	const uint32_t *n = number;
	const struct imap_range *r = range;

	return *n < r->first ? -1 : *n > r->last;
}

bool imap_set_has(const struct imap_set *set, uint32_t n)
{
	return sorted_find(&n, set->v, set->n, sizeof(*set->v),
		       number_in_range) != NULL;
}

static bool partial_number(struct imap_in *in, bool *minus_r, uint32_t *n_r)
{
	*minus_r = imap_char(in, '-');
	return imap_number(in, n_r) && *n_r != 0;
}

bool imap_partial_parse(struct imap_in *in, struct imap_partial *p_r)
{
	struct imap_in probe = *in;
	struct imap_partial p;
	bool minus;

	if (!partial_number(&probe, &p.from_end, &p.first) ||
		!imap_char(&probe, ':') ||
		!partial_number(&probe, &minus, &p.last) || minus != p.from_end)
		return false;
	if (p.first > p.last)
		p = (struct imap_partial){p.last, p.first, p.from_end};
	*in = probe;
	*p_r = p;
	return true;
}

void imap_partial_cut(const struct imap_partial *p, uint32_t **v, size_t *n)
{
	size_t first = p->first - 1, last = p->last < *n ? p->last : *n;

	if (first >= *n) {
		*n = 0;
		return;
	}
	*v += p->from_end ? *n - last : first;
	*n = last - first;
}

static void put_range(struct imap_set_put *p, struct buf *out)
{
	if (out->len > 0 && ascii_is_digit(out->data[out->len - 1]))
		buf_putc(out, ',');
	buf_put_u64(out, p->first);
	if (p->last != p->first) {
		buf_putc(out, ':');
		buf_put_u64(out, p->last);
	}
}

void imap_set_put(struct imap_set_put *p, uint32_t n, struct buf *out)
{
	if (p->any && n == p->last + 1) {
		p->last = n;
		return;
	}
	if (p->any)
		put_range(p, out);
	*p = (struct imap_set_put){n, n, true};
}

void imap_set_put_end(struct imap_set_put *p, struct buf *out)
{
	if (p->any)
		put_range(p, out);
	*p = (struct imap_set_put){0};
}
