/* SPDX-License-Identifier: ISC */
#include "codec/mail/header.h"

/* Length of the line at the front, its line end included. */
static size_t line_length(struct str s)
{
	ptrdiff_t nl = str_find(s, '\n');

	return nl < 0 ? s.len : (size_t)nl + 1;
}

static bool is_field_name(struct str name)
{
	for (size_t i = 0; i < name.len; i++)
		if (name.ptr[i] <= 0x20 || name.ptr[i] > 0x7e)
			return false;
	return name.len > 0;
}

bool mail_field_next(struct str *rest, struct mail_field *field_r)
{
	struct str s = *rest;
	size_t n = line_length(s);
	ptrdiff_t colon = str_find(str_sub(s, 0, n), ':');

	if (colon <= 0)
		return false;
	struct str name = str_trim_right(str_sub(s, 0, (size_t)colon));
	if (!is_field_name(name))
		return false;
	/* Continuation lines start with a blank; an all-blank line is one. */
	while (n < s.len && (s.ptr[n] == ' ' || s.ptr[n] == '\t'))
		n += line_length(str_from_at(s, n));
	field_r->name = name;
	field_r->value =
		str_trim(str_sub(s, (size_t)colon + 1, n - (size_t)colon - 1));
	field_r->whole = str_sub(s, 0, n);
	*rest = str_from_at(s, n);
	return true;
}

static bool at_blank_line(struct str s)
{
	return s.len == 0 || s.ptr[0] == '\n' ||
	       (s.ptr[0] == '\r' && s.len > 1 && s.ptr[1] == '\n');
}

bool mail_field_find(struct str *rest, struct mail_field *field_r)
{
	while (!at_blank_line(*rest)) {
		if (mail_field_next(rest, field_r))
			return true;
		*rest = str_from_at(*rest, line_length(*rest));
	}
	return false;
}

static void cut_blank_line(struct str message, struct str rest,
	struct str *head_r, struct str *body_r)
{
	*head_r = str_sub(message, 0, message.len - rest.len);
	if (str_starts(rest, "\r\n"))
		rest = str_from_at(rest, 2);
	else if (str_starts(rest, "\n"))
		rest = str_from_at(rest, 1);
	*body_r = rest;
}

void mail_split_blank(
	struct str message, struct str *head_r, struct str *body_r)
{
	struct str rest = message;

	while (!at_blank_line(rest))
		rest = str_from_at(rest, line_length(rest));
	cut_blank_line(message, rest, head_r, body_r);
}

void mail_split(struct str message, struct str *head_r, struct str *body_r)
{
	struct str rest = message;
	struct mail_field field;

	while (mail_field_next(&rest, &field))
		;
	cut_blank_line(message, rest, head_r, body_r);
}

/* Most lines are told by their first letter. */
static bool may_be(struct str line, struct str name)
{
	return name.len > 0 && line.len > name.len &&
	       ((line.ptr[0] ^ name.ptr[0]) & ~0x20) == 0 &&
	       str_ieq(str_sub(line, 0, name.len), name);
}

bool mail_field_named(
	struct str *rest, struct str name, struct mail_field *field_r)
{
	while (!at_blank_line(*rest)) {
		struct str s = *rest;

		if (may_be(s, name) && mail_field_next(&s, field_r) &&
			field_r->name.len == name.len) {
			*rest = s;
			return true;
		}
		/* What goes on with a blank is no field. */
		*rest = str_from_at(*rest, line_length(*rest));
	}
	return false;
}

struct str mail_field_value(struct str head, const char *name)
{
	struct mail_field field;

	return mail_field_named(&head, str_from(name), &field) ? field.value
							       : STR_NONE;
}

size_t mail_field_count(struct str head, const char *name)
{
	struct mail_field field;
	size_t n = 0;

	while (mail_field_named(&head, str_from(name), &field))
		n++;
	return n;
}

struct str mail_unfold(struct str value, struct arena *a)
{
	char *out = arena_alloc(a, value.len + 1);
	size_t n = 0;

	for (size_t i = 0; i < value.len; i++) {
		char c = value.ptr[i];

		if (c == '\r' || c == '\n')
			continue;
		if (c == '\0')
			c = '\x1a';
		out[n++] = c == '\t' ? ' ' : c;
	}
	return str_of(out, n);
}
