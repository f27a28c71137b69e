/* SPDX-License-Identifier: ISC */
/*
 * A recursive reader over the text.  What a failed macro call would do in
 * Postfix (a warning, then a fatal exit of the program that reads the
 * parameter) is an error here, found before start.
 */
#include "codec/postfix/expand.h"

#include "base/buf.h"

struct expander {
	expand_lookup_f *lookup;
	void *ctx;
	struct arena *a;
	const char *why;
};

static bool expand_into(
	struct expander *x, struct str text, unsigned depth, struct buf *out);

static bool fail(struct expander *x, const char *why)
{
	if (x->why == NULL)
		x->why = why;
	return false;
}

static bool is_name_char(char c)
{
	return ascii_is_alnum(c) || c == '_';
}

static struct str take_name(struct str *s)
{
	size_t n = 0;

	while (n < s->len && is_name_char(s->ptr[n]))
		n++;
	struct str name = str_sub(*s, 0, n);
	*s = str_from_at(*s, n);
	return name;
}

static void skip_blanks(struct str *s)
{
	while (s->len > 0 && (s->ptr[0] == ' ' || s->ptr[0] == '\t'))
		*s = str_from_at(*s, 1);
}

/* s starts with open; returns what is inside, *s moves behind the close. */
static bool take_balanced(struct expander *x, struct str *s, char open,
	char close, struct str *in_r)
{
	int depth = 0;

	for (size_t i = 0; i < s->len; i++) {
		if (s->ptr[i] == open)
			depth++;
		else if (s->ptr[i] == close && --depth == 0) {
			*in_r = str_sub(*s, 1, i - 1);
			*s = str_from_at(*s, i + 1);
			return true;
		}
	}
	return fail(x, "unbalanced { } or ( ) in a $ expression");
}

static bool expand_name(struct expander *x, struct str name, unsigned depth,
	struct str *value_r)
{
	struct str raw = x->lookup(name, x->ctx);
	struct buf b CLEANUP(buf_fini);

	buf_init(&b, EXPAND_BYTES_MAX);
	if (depth > EXPAND_DEPTH_MAX)
		return fail(x, "unreasonable nesting: a parameter uses itself");
	if (!expand_into(x, raw, depth + 1, &b))
		return false;
	*value_r = arena_str(x->a, buf_str(&b));
	return true;
}

bool compat_level_parse(struct str s, uint64_t *level_r)
{
	uint64_t part[3] = {0};
	size_t n = 0;

	s = str_trim(s);
	do {
		struct str p = str_cut(&s, '.');

		if (n == 3 || !str_u64(p, &part[n]) || part[n] > 65535)
			return false;
		n++;
	} while (str_present(s));
	*level_r = part[0] << 32 | part[1] << 16 | part[2];
	return true;
}

static bool all_digits(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!ascii_is_digit(s.ptr[i]))
			return false;
	return s.len > 0;
}

static bool compare(struct expander *x, struct str a, struct str b, bool level,
	int *order_r)
{
	uint64_t u, v;

	if (level) {
		if (!compat_level_parse(a, &u) || !compat_level_parse(b, &v))
			return fail(x, "not a compatibility level: "
				       "write major.minor.patch");
		*order_r = u < v ? -1 : u > v;
	} else if (all_digits(a) && all_digits(b) && str_u64(a, &u) &&
		   str_u64(b, &v)) {
		*order_r = u < v ? -1 : u > v;
	} else {
		*order_r = str_cmp(a, b);
	}
	return true;
}

static bool take_operator(
	struct expander *x, struct str *s, struct str *op_r, bool *level_r)
{
	size_t n = 0;

	while (n < s->len && (s->ptr[n] == '=' || s->ptr[n] == '!' ||
				     s->ptr[n] == '<' || s->ptr[n] == '>'))
		n++;
	*op_r = str_sub(*s, 0, n);
	*s = str_from_at(*s, n);
	*level_r = str_starts(*s, "level");
	if (*level_r)
		*s = str_from_at(*s, 5);
	static const char *const known[] = {"==", "!=", "<", "<=", ">=", ">"};
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (str_eqc(*op_r, known[i]))
			return true;
	return fail(x, "bad comparison: write == != < <= >= > or "
		       "these with \"level\"");
}

static bool holds(struct str op, int order)
{
	switch (op.ptr[0]) {
	case '=':
		return order == 0;
	case '!':
		return order != 0;
	case '<':
		return op.len > 1 ? order <= 0 : order < 0;
	default:
		return op.len > 1 ? order >= 0 : order > 0;
	}
}

/* "{a} op {b}" at the front of *s */
static bool take_comparison(
	struct expander *x, struct str *s, unsigned depth, bool *truth_r)
{
	struct str left, right, op;
	struct buf l CLEANUP(buf_fini);
	struct buf r CLEANUP(buf_fini);
	bool level;
	int order;

	buf_init(&l, EXPAND_BYTES_MAX);
	buf_init(&r, EXPAND_BYTES_MAX);
	if (!take_balanced(x, s, '{', '}', &left))
		return false;
	skip_blanks(s);
	if (!take_operator(x, s, &op, &level))
		return false;
	skip_blanks(s);
	if (s->len == 0 || s->ptr[0] != '{')
		return fail(x, "bad comparison: write {a} op {b}");
	if (!take_balanced(x, s, '{', '}', &right) ||
		!expand_into(x, str_trim(left), depth + 1, &l) ||
		!expand_into(x, str_trim(right), depth + 1, &r) ||
		!compare(x, buf_str(&l), buf_str(&r), level, &order))
		return false;
	*truth_r = holds(op, order);
	return true;
}

/* A branch: "{text}" with blanks cut, or plain text up to the end. */
static bool take_branch(struct expander *x, struct str *s, struct str *text_r)
{
	struct str probe = *s;

	skip_blanks(&probe);
	if (probe.len > 0 && probe.ptr[0] == '{') {
		if (!take_balanced(x, &probe, '{', '}', text_r))
			return false;
		*text_r = str_trim(*text_r);
		*s = probe;
		skip_blanks(s);
		return true;
	}
	*text_r = *s;
	*s = str_from_at(*s, s->len);
	return true;
}

/* behind the condition: "?{a}:{b}", "?a", ":b" */
static bool choose(struct expander *x, struct str s, bool truth, unsigned depth,
	struct buf *out)
{
	struct str yes = STR_NONE, no = STR_NONE;

	if (s.len > 0 && s.ptr[0] == '?') {
		struct str after = str_from_at(s, 1);
		struct str probe = after;

		skip_blanks(&probe);
		bool braced = probe.len > 0 && probe.ptr[0] == '{';
		if (!take_branch(x, &after, &yes))
			return false;
		/* Text behind the brace makes it all plain, as in 2.11. */
		if (braced && after.len > 0 && after.ptr[0] != ':') {
			yes = str_from_at(s, 1);
			after = STR_NONE;
		}
		s = after;
	}
	if (s.len > 0 && s.ptr[0] == ':') {
		s = str_from_at(s, 1);
		if (!take_branch(x, &s, &no))
			return false;
	}
	if (s.len > 0)
		return fail(x, "unexpected text behind a ? : expression");
	return expand_into(x, truth ? yes : no, depth + 1, out);
}

/* The inside of ${...} or $(...) */
static bool expand_braced(
	struct expander *x, struct str s, unsigned depth, struct buf *out)
{
	skip_blanks(&s);
	if (s.len > 0 && s.ptr[0] == '{') {
		bool truth;

		if (!take_comparison(x, &s, depth, &truth))
			return false;
		skip_blanks(&s);
		if (s.len == 0) {
			buf_puts(out, truth ? "true" : "");
			return true;
		}
		if (s.ptr[0] != '?' && s.ptr[0] != ':')
			return fail(x, "a comparison is followed by ? or :");
		return choose(x, s, truth, depth, out);
	}
	struct str name = take_name(&s);
	if (name.len == 0)
		return fail(x, "empty name in ${ }");
	struct str behind = s;
	skip_blanks(&behind);
	struct str value;
	if (behind.len == 0) {
		if (!expand_name(x, name, depth, &value))
			return false;
		buf_put(out, value);
		return true;
	}
	if (behind.ptr[0] != '?' && behind.ptr[0] != ':')
		return fail(x, "bad character in a $ name");
	if (!expand_name(x, name, depth, &value))
		return false;
	bool truth = value.len > 0;
	if (behind.ptr[0] == ':' && truth) {
		buf_put(out, value);
		return true;
	}
	return choose(x, behind, truth, depth, out);
}

static bool expand_into(
	struct expander *x, struct str text, unsigned depth, struct buf *out)
{
	if (depth > EXPAND_DEPTH_MAX)
		return fail(x, "unreasonable nesting: a parameter uses itself");
	while (text.len > 0) {
		ptrdiff_t dollar = str_find(text, '$');
		struct str inside, value;

		if (dollar < 0) {
			buf_put(out, text);
			break;
		}
		buf_put(out, str_sub(text, 0, (size_t)dollar));
		text = str_from_at(text, (size_t)dollar + 1);
		char c = text.len > 0 ? text.ptr[0] : '\0';
		if (c == '$') {
			buf_putc(out, '$');
			text = str_from_at(text, 1);
		} else if (c == '{' || c == '(') {
			if (!take_balanced(x, &text, c, c == '{' ? '}' : ')',
				    &inside) ||
				!expand_braced(x, inside, depth, out))
				return false;
		} else if (is_name_char(c)) {
			if (!expand_name(x, take_name(&text), depth, &value))
				return false;
			buf_put(out, value);
		} else {
			return fail(x, "a lone $: write $$ for a dollar sign");
		}
	}
	return !buf_over(out) || fail(x, "the expanded value is too long");
}

bool expand(struct str text, expand_lookup_f *lookup, void *ctx,
	struct arena *a, struct str *out_r, const char **why_r)
{
	struct expander x = {.lookup = lookup, .ctx = ctx, .a = a};
	struct buf out CLEANUP(buf_fini);

	buf_init(&out, EXPAND_BYTES_MAX);
	if (!expand_into(&x, text, 0, &out)) {
		*why_r = x.why;
		return false;
	}
	*out_r = arena_str(a, buf_str(&out));
	return true;
}

struct str expand_plain(struct str value, struct arena *a)
{
	char *out = arena_alloc(a, value.len + 1);

	for (size_t i = 0; i < value.len; i++) {
		unsigned char c = (unsigned char)value.ptr[i];

		out[i] = c == '$' || c < 0x20 || c == 0x7f ? '_' : (char)c;
	}
	return str_of(out, value.len);
}
