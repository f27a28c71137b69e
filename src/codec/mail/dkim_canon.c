/* SPDX-License-Identifier: ISC */
/* What is hashed: RFC 6376 3.4 */
#include <stdlib.h>
#include <string.h>

#include "base/sorted.h"
#include "codec/mail/dkim.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_wsp(char c)
{
	return c == ' ' || c == '\t';
}

/* ---- the body ---- */

struct body_out {
	uint64_t left;
	size_t blank_lines; /* not put yet: they may be the last ones */
	dkim_put_f *put;
	void *ctx;
};

static void put(struct body_out *o, const char *bytes, size_t len)
{
	size_t n = len < o->left ? len : (size_t)o->left;

	if (n > 0)
		o->put(bytes, n, o->ctx);
	o->left -= n;
}

static void put_blank_lines(struct body_out *o)
{
	for (; o->blank_lines > 0; o->blank_lines--)
		put(o, "\r\n", 2);
}

static void put_relaxed(struct body_out *o, struct str line)
{
	for (size_t i = 0; i < line.len;) {
		size_t n = i;

		while (n < line.len && !is_wsp(line.ptr[n]))
			n++;
		put(o, line.ptr + i, n - i);
		if (n < line.len)
			put(o, " ", 1);
		while (n < line.len && is_wsp(line.ptr[n]))
			n++;
		i = n;
	}
}

/* Blanks at the end that are no part of a line end. */
static struct str without_wsp(struct str line)
{
	while (line.len > 0 && is_wsp(line.ptr[line.len - 1]))
		line.len--;
	return line;
}

void dkim_canon_body(enum dkim_canon canon, struct str body, uint64_t limit,
	dkim_put_f *put_f, void *ctx)
{
	struct body_out o = {.left = limit, .put = put_f, .ctx = ctx};
	const char *at = body.ptr, *end = body.ptr + body.len;
	bool any = false;

	while (at < end && o.left > 0) {
		const char *lf = memchr(at, '\n', (size_t)(end - at));
		const char *stop = lf == NULL ? end : lf;
		struct str line = str_of(at, (size_t)(stop - at));

		if (lf != NULL && line.len > 0 && stop[-1] == '\r')
			line.len--;
		if (canon == DKIM_RELAXED)
			line = without_wsp(line);
		if (line.len == 0) {
			o.blank_lines++;
		} else {
			put_blank_lines(&o);
			if (canon == DKIM_RELAXED)
				put_relaxed(&o, line);
			else
				put(&o, line.ptr, line.len);
			put(&o, "\r\n", 2);
			any = true;
		}
		at = lf == NULL ? end : lf + 1;
	}
	/* 3.4.3: an empty body is one line end; 3.4.4: it is nothing. */
	if (!any && canon == DKIM_SIMPLE)
		put(&o, "\r\n", 2);
}

static void count(const void *bytes UNUSED, size_t len, void *ctx)
{
	*(uint64_t *)ctx += len;
}

uint64_t dkim_body_length(enum dkim_canon canon, struct str body)
{
	uint64_t n = 0;

	dkim_canon_body(canon, body, UINT64_MAX, count, &n);
	return n;
}

/* ---- the header ---- */

/* Folds undone, blanks drawn together, none at the ends. */
static void put_value(struct str value, struct buf *out)
{
	bool blank = false, any = false;

	for (size_t i = 0; i < value.len; i++) {
		char c = value.ptr[i];

		if (c == '\r' || c == '\n')
			continue;
		if (is_wsp(c)) {
			blank = any;
			continue;
		}
		if (blank)
			buf_putc(out, ' ');
		blank = false;
		any = true;
		buf_putc(out, c);
	}
}

static struct str after_colon(const struct mail_field *f)
{
	struct str rest = f->whole;

	str_cut(&rest, ':');
	return rest;
}

static void put_name(struct str name, struct buf *out)
{
	for (size_t i = 0; i < name.len; i++)
		buf_putc(out, ascii_lower(name.ptr[i]));
	buf_putc(out, ':');
}

/* A field that ends in LF alone is hashed with CRLF: so it travelled. */
static void put_lines(struct str text, struct buf *out)
{
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] == '\n' && (i == 0 || text.ptr[i - 1] != '\r'))
			buf_putc(out, '\r');
		buf_putc(out, text.ptr[i]);
	}
}

void dkim_canon_field(
	enum dkim_canon canon, const struct mail_field *f, struct buf *out)
{
	if (canon == DKIM_SIMPLE) {
		put_lines(f->whole, out);
		return;
	}
	put_name(f->name, out);
	put_value(after_colon(f), out);
	buf_puts(out, "\r\n");
}

/* A message may have 100,000 fields, and name as many in h=. */
struct ranked {
	struct mail_field field;
	size_t at;
	size_t same, taken; /* of the first of a name: how many there are */
};

static int by_name_then_last(const void *x, const void *y)
{
	const struct ranked *a = x, *b = y;
	int order = str_icmp(a->field.name, b->field.name);

	return order != 0 ? order : (a->at < b->at) - (a->at > b->at);
}

static int name_of_field(const void *name, const void *ranked)
{
	return str_icmp(*(const struct str *)name,
		((const struct ranked *)ranked)->field.name);
}

/* The lowest of that name, its .same known; NULL: there is none. */
static struct ranked *find_first(struct ranked *v, size_t n, struct str name)
{
	size_t low = sorted_lower(&name, v, n, sizeof(*v), name_of_field);

	if (low == n || !str_ieq(v[low].field.name, name))
		return NULL;
	if (v[low].same == 0)
		for (size_t i = low; i < n && str_ieq(v[i].field.name, name);
			i++)
			v[low].same++;
	return &v[low];
}

void dkim_canon_head(enum dkim_canon canon, struct str head,
	const struct strs *names, struct arena *a, struct buf *out)
{
	struct ranked *fields;
	struct mail_field f;
	struct str rest = head;
	size_t n = 0, i = 0;

	while (mail_field_next(&rest, &f))
		n++;
	fields = arena_alloc(a, (n + 1) * sizeof(*fields));
	for (rest = head; mail_field_next(&rest, &f); i++)
		fields[i] = (struct ranked){.field = f, .at = i};
	qsort(fields, n, sizeof(*fields), by_name_then_last);
	for (i = 0; i < names->n; i++) {
		struct ranked *first = find_first(fields, n, names->v[i]);

		if (first == NULL || first->taken == first->same)
			continue;
		dkim_canon_field(canon, &first[first->taken].field, out);
		first->taken++;
	}
}

void dkim_canon_own(enum dkim_canon canon, const struct mail_field *f,
	struct str b_text, struct buf *out)
{
	size_t before = (size_t)(b_text.ptr - f->whole.ptr);
	size_t behind = before + b_text.len;
	struct buf bare CLEANUP(buf_fini);

	/* 3.7: with all blanks around it */
	while (before > 0 && is_blank(f->whole.ptr[before - 1]))
		before--;
	while (behind < f->whole.len && is_blank(f->whole.ptr[behind]))
		behind++;

	buf_init(&bare, f->whole.len + 16);
	buf_put(&bare, str_sub(f->whole, 0, before));
	buf_put(&bare, str_from_at(f->whole, behind));
	struct mail_field own = {.name = f->name, .whole = buf_str(&bare)};
	size_t start = out->len;
	dkim_canon_field(canon, &own, out);
	if (out->len >= start + 2 && str_ends(buf_str(out), "\r\n"))
		buf_truncate(out, out->len - 2);
}
