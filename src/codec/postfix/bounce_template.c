/* SPDX-License-Identifier: ISC */
#include "codec/postfix/bounce_template.h"

struct reader {
	struct str rest;
	unsigned line;
	const char *why;
};

/* Without its end; absent behind the last. */
static struct str next_line(struct reader *r)
{
	if (r->rest.len == 0)
		return STR_NONE;
	r->line++;
	struct str line = str_cut(&r->rest, '\n');
	if (!str_present(r->rest))
		r->rest = STR("");
	if (str_ends(line, "\r"))
		line.len--;
	return line;
}

static bool wrong(struct reader *r, const char *why)
{
	r->why = why;
	return false;
}

static bool take_header(
	struct reader *r, struct bounce_template *t, struct str line)
{
	struct {
		const char *name;
		struct str *value;
	} all[] = {{"Charset", &t->charset}, {"From", &t->from},
		{"Subject", &t->subject},
		{"Postmaster-Subject", &t->postmaster_subject}};
	struct str value = line;
	struct str name = str_trim(str_cut(&value, ':'));

	if (!str_present(value))
		return wrong(r, "a line above the empty one is no header: "
				"Subject: ...");
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (str_ieqc(name, all[i].name)) {
			*all[i].value = str_trim(value);
			return true;
		}
	return wrong(r, "unknown header: Charset, From, Subject and "
			"Postmaster-Subject may stand there");
}

/* Headers, an empty line, the text, the marker. */
static bool take_template(
	struct reader *r, struct bounce_template *t, struct str marker)
{
	bool in_text = false;
	struct str line;

	*t = (struct bounce_template){.line = r->line};
	for (;;) {
		line = next_line(r);
		if (!str_present(line))
			return wrong(r, "the template does not end: its marker "
					"has to stand on a line of its own");
		if (str_eq(line, marker))
			break;
		if (in_text) {
			t->text.len = (size_t)(r->rest.ptr - t->text.ptr);
		} else if (line.len == 0) {
			in_text = true;
			t->text = str_of(r->rest.ptr, 0);
		} else if (!take_header(r, t, line)) {
			return false;
		}
	}
	return in_text || wrong(r, "the template has no text: it stands below "
				   "an empty line");
}

static bool find_kind(struct str name, enum bounce_kind *kind_r)
{
	static const char *const names[BOUNCE_KINDS] = {"failure_template",
		"delay_template", "success_template", "verify_template"};

	for (int i = 0; i < BOUNCE_KINDS; i++)
		if (str_eqc(name, names[i])) {
			*kind_r = (enum bounce_kind)i;
			return true;
		}
	return false;
}

static bool take_all(struct reader *r, struct bounce_template *all)
{
	enum bounce_kind kind;
	struct str line;

	while (str_present(line = next_line(r))) {
		struct str value = line;
		struct str name = str_trim(str_cut(&value, '='));

		if (str_trim(line).len == 0 || str_starts(line, "#"))
			continue;
		if (!find_kind(name, &kind))
			return wrong(r, "not failure_template, delay_template, "
					"success_template or verify_template");
		value = str_present(value) ? str_trim(value) : STR("");
		if (!str_starts(value, "<<") || value.len == 2)
			return wrong(r, "a template begins with <<EOF");
		if (!take_template(
			    r, &all[kind], str_trim(str_from_at(value, 2))))
			return false;
	}
	return true;
}

bool bounce_templates_parse(struct str text,
	struct bounce_template all_r[BOUNCE_KINDS], unsigned *line_r,
	const char **why_r)
{
	struct reader r = {.rest = text};

	for (int i = 0; i < BOUNCE_KINDS; i++)
		all_r[i] = (struct bounce_template){0};
	bool ok = take_all(&r, all_r);
	*line_r = r.line;
	*why_r = r.why;
	return ok;
}
