/* SPDX-License-Identifier: ISC */
/* BODY[section]<partial>: RFC 3501 6.4.5 */
#include "codec/mail/header.h"
#include "role/mailbox/imap/imap.h"

static bool parse_fields(struct imap_in *in, struct strs *fields)
{
	if (!imap_space(in) || !imap_char(in, '('))
		return false;
	do {
		struct str name;

		if (!imap_astring(in, &name))
			return false;
		strs_add(fields, in->a, name);
	} while (imap_space(in));
	return imap_char(in, ')');
}

static bool parse_text(struct imap_in *in, struct imap_section *s)
{
	struct imap_in probe = *in;
	struct str word;

	/* "]" is no atom character, so the word ends before it. */
	if (!imap_atom(&probe, &word))
		return s->n_path > 0 || in->rest.len > 0;
	if (str_ieqc(word, "HEADER"))
		s->what = SECTION_HEADER;
	else if (str_ieqc(word, "TEXT"))
		s->what = SECTION_TEXT;
	else if (str_ieqc(word, "MIME") && s->n_path > 0)
		s->what = SECTION_MIME;
	else if (str_ieqc(word, "HEADER.FIELDS"))
		s->what = SECTION_FIELDS;
	else if (str_ieqc(word, "HEADER.FIELDS.NOT"))
		s->what = SECTION_FIELDS_NOT;
	else
		return false;
	*in = probe;
	return (s->what != SECTION_FIELDS && s->what != SECTION_FIELDS_NOT) ||
	       parse_fields(in, &s->fields);
}

static bool parse_path(struct imap_in *in, struct imap_section *s)
{
	uint32_t n;

	while (in->rest.len > 0 && ascii_is_digit(in->rest.ptr[0])) {
		if (s->n_path == ARRAY_LEN(s->path) || !imap_number(in, &n) ||
			n == 0)
			return false;
		s->path[s->n_path++] = n;
		if (!imap_char(in, '.'))
			break;
	}
	return true;
}

/* "<start.length>" */
static bool parse_partial(struct imap_in *in, struct imap_section *s)
{
	if (!imap_char(in, '<'))
		return true;
	s->partial = true;
	return imap_number(in, &s->start) && imap_char(in, '.') &&
	       imap_number(in, &s->length) && s->length != 0 &&
	       imap_char(in, '>');
}

static bool parse_section(
	struct imap_in *in, bool with_text, struct imap_section *s_r)
{
	struct imap_section s = {.what = SECTION_ALL};
	const char *start = in->rest.ptr;

	if (!imap_char(in, '[') || !parse_path(in, &s) ||
		(with_text && !parse_text(in, &s)) || !imap_char(in, ']'))
		return false;
	s.as = str_of(start, (size_t)(in->rest.ptr - start));
	*s_r = s;
	return parse_partial(in, s_r);
}

bool imap_section_parse(struct imap_in *in, struct imap_section *s_r)
{
	return parse_section(in, true, s_r);
}

bool imap_section_path(struct imap_in *in, struct imap_section *s_r)
{
	return parse_section(in, false, s_r);
}

static bool wanted(const struct imap_section *s, struct str name)
{
	bool listed = strs_has(&s->fields, name);

	return s->what == SECTION_FIELDS ? listed : !listed;
}

static struct str pick_fields(
	const struct imap_section *s, struct str head, struct arena *a)
{
	struct buf out CLEANUP(buf_fini);
	struct mail_field field;

	buf_init(&out, head.len + 16);
	while (mail_field_find(&head, &field))
		if (wanted(s, field.name))
			buf_put(&out, field.whole);
	buf_puts(&out, "\r\n");
	return arena_str(a, buf_str(&out));
}

/* The header with the blank line behind it. */
static struct str head_of(const struct mime_part *part)
{
	size_t len = part->head.len;
	const char *end = part->head.ptr + len;

	if (part->body.ptr >= end)
		len = (size_t)(part->body.ptr - part->head.ptr);
	return str_of(part->head.ptr, len);
}

struct str imap_section_bytes(const struct imap_section *s, struct str message,
	const struct mime_part *root, struct arena *a)
{
	const struct mime_part *part = mime_part_at(root, s->path, s->n_path);
	struct str bytes;

	if (part == NULL)
		return STR("");
	/* HEADER and TEXT of a part are those of the message in it. */
	bool inner = s->n_path > 0 && s->what != SECTION_ALL &&
		     s->what != SECTION_MIME;
	if (inner) {
		if (!mime_is(part, "message", "rfc822") || part->child == NULL)
			return STR("");
		part = part->child;
	}
	switch (s->what) {
	case SECTION_ALL:
		bytes = s->n_path == 0 ? message : part->body;
		break;
	case SECTION_HEADER:
	case SECTION_MIME:
		bytes = head_of(part);
		break;
	case SECTION_FIELDS:
	case SECTION_FIELDS_NOT:
		bytes = pick_fields(s, part->head, a);
		break;
	case SECTION_TEXT:
		bytes = part->body;
		break;
	default:
		return STR("");
	}
	return s->partial ? str_sub(bytes, s->start, s->length) : bytes;
}
