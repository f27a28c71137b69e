/* SPDX-License-Identifier: ISC */
#include "codec/mail/mime.h"

#include <string.h>

#include "base/buf.h"
#include "codec/mail/base64.h"
#include "codec/mail/header.h"

/* ---- Content-Type and Content-Disposition values ---- */

static void skip_cfws(struct str *s)
{
	int depth = 0;
	size_t i = 0;

	for (; i < s->len; i++) {
		char c = s->ptr[i];

		if (depth > 0 && c == '\\' && i + 1 < s->len)
			i++;
		else if (c == '(')
			depth++;
		else if (depth > 0 && c == ')')
			depth--;
		else if (depth == 0 && (unsigned char)c > 0x20)
			break;
	}
	*s = str_from_at(*s, i);
}

/* token of RFC 2045 5.1 */
static struct str token(struct str *s)
{
	size_t n = 0;

	while (n < s->len && (unsigned char)s->ptr[n] > 0x20 &&
		strchr("()<>@,;:\\\"/[]?=", s->ptr[n]) == NULL)
		n++;
	struct str t = str_sub(*s, 0, n);
	*s = str_from_at(*s, n);
	return t;
}

static struct str param_value(struct str *s, struct arena *a)
{
	if (s->len == 0 || s->ptr[0] != '"') {
		/* Lenient: up to the next ";" or blank. */
		size_t n = 0;

		while (n < s->len && (unsigned char)s->ptr[n] > 0x20 &&
			s->ptr[n] != ';')
			n++;
		struct str v = str_sub(*s, 0, n);
		*s = str_from_at(*s, n);
		return arena_str(a, v);
	}
	char *out = arena_alloc(a, s->len + 1);
	size_t n = 0;
	size_t i = 1;
	for (; i < s->len && s->ptr[i] != '"'; i++) {
		if (s->ptr[i] == '\\' && i + 1 < s->len)
			i++;
		if (s->ptr[i] != '\r' && s->ptr[i] != '\n')
			out[n++] = s->ptr[i];
	}
	*s = str_from_at(*s, i + 1);
	return str_of(out, n);
}

static void add_param(struct mime_value *v, struct str name, struct str value)
{
	for (size_t i = 0; i < v->n_params; i++)
		if (str_eq(v->params[i].name, name))
			return;
	if (v->n_params < MIME_PARAMS_MAX)
		v->params[v->n_params++] = (struct mime_param){name, value};
}

bool mime_value_parse(struct str s, bool with_subtype, struct arena *a,
	struct mime_value *value_r)
{
	struct mime_value v = {0};

	skip_cfws(&s);
	v.type = arena_lower(a, token(&s));
	if (v.type.len == 0)
		return false;
	if (with_subtype) {
		skip_cfws(&s);
		if (s.len == 0 || s.ptr[0] != '/')
			return false;
		s = str_from_at(s, 1);
		skip_cfws(&s);
		v.subtype = arena_lower(a, token(&s));
		if (v.subtype.len == 0)
			return false;
	}
	v.params = arena_alloc(a, MIME_PARAMS_MAX * sizeof(*v.params));
	for (;;) {
		while (s.len > 0 && s.ptr[0] != ';')
			s = str_from_at(s, 1);
		if (s.len == 0)
			break;
		s = str_from_at(s, 1);
		skip_cfws(&s);
		struct str name = arena_lower(a, token(&s));
		skip_cfws(&s);
		if (name.len == 0 || s.len == 0 || s.ptr[0] != '=')
			continue;
		s = str_from_at(s, 1);
		skip_cfws(&s);
		add_param(&v, name, param_value(&s, a));
	}
	*value_r = v;
	return true;
}

struct str mime_param(const struct mime_value *value, const char *name)
{
	for (size_t i = 0; i < value->n_params; i++)
		if (str_eqc(value->params[i].name, name))
			return value->params[i].value;
	return STR_NONE;
}

bool mime_is(
	const struct mime_part *part, const char *type, const char *subtype)
{
	return str_eqc(part->content.type, type) &&
	       (subtype == NULL || str_eqc(part->content.subtype, subtype));
}

/* ---- structure ---- */

struct parse {
	struct arena *a;
	size_t parts;
};

static struct mime_part *parse_part(
	struct parse *p, struct str message, unsigned depth, bool in_digest);

static size_t count_lines(struct str s)
{
	size_t n = 0;
	const char *at = s.ptr;
	const char *end = s.ptr + s.len;

	while (at < end &&
		(at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
		n++;
		at++;
	}
	return n;
}

static void read_fields(struct parse *p, struct mime_part *part, bool in_digest)
{
	struct str type = mail_field_value(part->head, "Content-Type");
	struct str disp = mail_field_value(part->head, "Content-Disposition");
	struct str enc =
		mail_field_value(part->head, "Content-Transfer-Encoding");

	if (!str_present(type) ||
		!mime_value_parse(type, true, p->a, &part->content)) {
		part->content = (struct mime_value){
			.type = in_digest ? STR("message") : STR("text"),
			.subtype = in_digest ? STR("rfc822") : STR("plain")};
	}
	if (str_present(disp))
		mime_value_parse(disp, false, p->a, &part->disposition);
	skip_cfws(&enc);
	part->encoding =
		enc.len > 0 ? arena_lower(p->a, token(&enc)) : STR_NONE;
	if (part->encoding.len == 0)
		part->encoding = STR("7bit");
}

/*
 * Finds the next delimiter line "--boundary[--]" from *at on.  Returns the
 * offset of its first byte, moves *at behind the line, tells whether it was
 * the close delimiter; -1 at the end.
 */
static ptrdiff_t next_delimiter(
	struct str body, struct str boundary, size_t *at, bool *close_r)
{
	size_t i = *at;

	while (i < body.len) {
		struct str line = str_from_at(body, i);
		ptrdiff_t nl = str_find(line, '\n');
		size_t next = nl < 0 ? body.len : i + (size_t)nl + 1;

		line = str_trim_right(str_sub(body, i, next - i));
		if (str_starts(line, "--")) {
			struct str rest = str_from_at(line, 2);

			if (rest.len >= boundary.len &&
				str_eq(str_sub(rest, 0, boundary.len),
					boundary)) {
				rest = str_from_at(rest, boundary.len);
				*close_r = str_eqc(rest, "--");
				if (rest.len == 0 || *close_r) {
					*at = next;
					return (ptrdiff_t)i;
				}
			}
		}
		i = next;
	}
	return -1;
}

/* The line end in front of a delimiter belongs to it: RFC 2046 5.1.1 */
static size_t before_delimiter(struct str body, size_t from, size_t at)
{
	if (at > from && body.ptr[at - 1] == '\n')
		at--;
	if (at > from && body.ptr[at - 1] == '\r')
		at--;
	return at;
}

static void parse_multipart(
	struct parse *p, struct mime_part *part, unsigned depth)
{
	struct str boundary = mime_param(&part->content, "boundary");
	struct mime_part **tail = &part->child;
	bool digest = mime_is(part, "multipart", "digest");
	bool closed = false;
	size_t at = 0;

	if (boundary.len == 0 ||
		next_delimiter(part->body, boundary, &at, &closed) < 0)
		return;
	while (!closed && p->parts < MIME_PARTS_MAX) {
		size_t start = at;
		ptrdiff_t end =
			next_delimiter(part->body, boundary, &at, &closed);
		size_t stop = end < 0 ? part->body.len
				      : before_delimiter(
						part->body, start, (size_t)end);

		*tail = parse_part(p, str_sub(part->body, start, stop - start),
			depth + 1, digest);
		tail = &(*tail)->next;
		if (end < 0)
			return;
	}
}

static struct mime_part *parse_part(
	struct parse *p, struct str message, unsigned depth, bool in_digest)
{
	struct mime_part *part = arena_make(p->a, struct mime_part);

	p->parts++;
	mail_split_blank(message, &part->head, &part->body);
	read_fields(p, part, in_digest);
	part->lines = count_lines(part->body);
	if (depth >= MIME_DEPTH_MAX)
		return part;
	if (mime_is(part, "multipart", NULL))
		parse_multipart(p, part, depth);
	else if (mime_is(part, "message", "rfc822") &&
		 (str_eqc(part->encoding, "7bit") ||
			 str_eqc(part->encoding, "8bit") ||
			 str_eqc(part->encoding, "binary")))
		part->child = parse_part(p, part->body, depth + 1, false);
	return part;
}

struct mime_part *mime_parse(struct str message, struct arena *a)
{
	struct parse p = {.a = a};

	return parse_part(&p, message, 0, false);
}

static const struct mime_part *nth_child(
	const struct mime_part *part, uint32_t n)
{
	const struct mime_part *child = part->child;

	while (child != NULL && --n > 0)
		child = child->next;
	return child;
}

const struct mime_part *mime_part_at(
	const struct mime_part *root, const uint32_t *path, size_t n)
{
	const struct mime_part *part = root;

	/* A message that is no multipart has one part, 1; a leaf has none. */
	bool whole = true;

	for (size_t i = 0; i < n && part != NULL; i++) {
		/* Inside a message/rfc822 the numbers go on in its message. */
		if (i > 0 && mime_is(part, "message", "rfc822") &&
			part->child != NULL) {
			part = part->child;
			whole = true;
		}
		if (path[i] == 0)
			return NULL;
		if (mime_is(part, "multipart", NULL))
			part = nth_child(part, path[i]);
		else if (path[i] != 1 || !whole)
			return NULL;
		whole = false;
	}
	return part;
}

void mime_decode_body(const struct mime_part *part, struct buf *out)
{
	if (str_eqc(part->encoding, "base64"))
		base64_decode_body(part->body, out);
	else if (str_eqc(part->encoding, "quoted-printable"))
		qp_decode(part->body, out);
	else
		buf_put(out, part->body);
}
