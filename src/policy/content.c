/* SPDX-License-Identifier: ISC */
#include "policy/content.h"

#include <string.h>

#include "codec/mail/header.h"
#include "codec/mail/mime.h"

enum { LINE_MAX_BYTES = 2048 };

enum head_kind { HEAD_PRIMARY, HEAD_NESTED, HEAD_PART };

struct walk {
	const struct content_checks *k;
	struct str message;
	struct arena *a;
	struct content_result *r;
	struct content_edit **last;
	size_t body_at; /* where the body lines go on */
	bool pass; /* PASS: no more checks */
	struct fault *f;
};

struct content_checks *content_checks_new(
	const struct conf *c, struct tables *tables, struct problems *problems)
{
	struct content_checks *k = arena_make(c->a, struct content_checks);

	k->header = maps_open(
		tables, c, "header_checks", c->header_checks, 0, problems);
	k->mime = maps_open(tables, c, "mime_header_checks",
		c->mime_header_checks, 0, problems);
	k->nested = maps_open(tables, c, "nested_header_checks",
		c->nested_header_checks, 0, problems);
	k->body = maps_open(
		tables, c, "body_checks", c->body_checks, 0, problems);
	k->no_parts = c->disable_mime_input_processing;
	k->body_limit = (size_t)c->body_checks_size_limit;
	bool any = k->header != NULL || k->mime != NULL || k->nested != NULL ||
		   k->body != NULL;
	return any ? k : NULL;
}

struct content_checks *content_checks_milter(
	const struct conf *c, struct tables *tables, struct problems *problems)
{
	struct content_checks *k = arena_make(c->a, struct content_checks);

	k->header = k->mime = maps_open(tables, c, "milter_header_checks",
		c->milter_header_checks, 0, problems);
	return k->header != NULL ? k : NULL;
}

struct content_checks *content_checks_smtp(
	const struct conf *c, struct tables *tables, struct problems *problems)
{
	struct content_checks *k = arena_make(c->a, struct content_checks);

	k->header = maps_open(tables, c, "smtp_header_checks",
		c->smtp_header_checks, 0, problems);
	k->mime = maps_open(tables, c, "smtp_mime_header_checks",
		c->smtp_mime_header_checks, 0, problems);
	k->nested = maps_open(tables, c, "smtp_nested_header_checks",
		c->smtp_nested_header_checks, 0, problems);
	k->body = maps_open(tables, c, "smtp_body_checks", c->smtp_body_checks,
		0, problems);
	k->body_limit = (size_t)c->body_checks_size_limit;
	bool any = k->header != NULL || k->mime != NULL || k->nested != NULL ||
		   k->body != NULL;
	return any ? k : NULL;
}

void content_apply(struct str message, const struct content_edit *edits,
	struct arena *a, struct strs *pieces_r)
{
	size_t at = 0;

	*pieces_r = (struct strs){0};
	for (; edits != NULL; edits = edits->next) {
		if (edits->at < at)
			continue; /* the field is gone already */
		strs_add(pieces_r, a, str_sub(message, at, edits->at - at));
		strs_add(pieces_r, a, edits->text);
		at = edits->at + edits->len;
	}
	strs_add(pieces_r, a, str_from_at(message, at));
}

/* ---- actions ---- */

static void edit(struct walk *w, size_t at, size_t len, struct str text)
{
	struct content_edit *e = arena_make(w->a, struct content_edit);

	*e = (struct content_edit){.at = at, .len = len, .text = text};
	*w->last = e;
	w->last = &e->next;
}

static struct str as_line(struct walk *w, struct str text)
{
	return arena_concat(w->a, text, STR("\r\n"));
}

static void note(
	struct walk *w, const char *action, struct str text, struct str what)
{
	strs_add(&w->r->log, w->a,
		arena_printf(w->a, "%s: %.*s: %.*s", action, STR_ARG(what),
			STR_ARG(text)));
}

static void reject(struct walk *w, struct str text)
{
	bool enhanced =
		text.len > 4 && text.ptr[0] == '5' && text.ptr[1] == '.';

	w->r->code = 550;
	if (text.len == 0)
		text = STR("message content rejected");
	w->r->text = enhanced ? arena_str(w->a, text)
			      : arena_concat(w->a, STR("5.7.1 "), text);
}

enum action {
	A_BCC,
	A_DISCARD,
	A_DUNNO,
	A_FILTER,
	A_HOLD,
	A_IGNORE,
	A_INFO,
	A_PASS,
	A_PREPEND,
	A_REDIRECT,
	A_REJECT,
	A_REPLACE,
	A_STRIP,
	A_WARN,
	A_OTHER
};

static enum action action_of(struct str word)
{
	static const char *const names[] = {"BCC", "DISCARD", "DUNNO", "FILTER",
		"HOLD", "IGNORE", "INFO", "PASS", "PREPEND", "REDIRECT",
		"REJECT", "REPLACE", "STRIP", "WARN"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_ieqc(word, names[i]))
			return (enum action)i;
	return A_OTHER;
}

/* whole: the field or line with its line end. */
static void act(struct walk *w, struct str value, struct str whole)
{
	size_t at = (size_t)(whole.ptr - w->message.ptr);
	struct str what = str_sub(str_trim_right(whole), 0, 200);
	struct str text = value;
	struct str word = str_word(&text, " \t");

	text = str_present(text) ? str_trim(text) : STR("");
	switch (action_of(word)) {
	case A_BCC:
		strs_add(&w->r->bcc, w->a, arena_str(w->a, text));
		return;
	case A_DISCARD:
		w->r->discard = w->pass = true;
		note(w, "discard", text, what);
		return;
	case A_DUNNO:
		return;
	case A_HOLD:
		w->r->hold = true;
		note(w, "hold", text, what);
		return;
	case A_STRIP:
		note(w, "strip", text, what);
		edit(w, at, whole.len, STR(""));
		return;
	case A_IGNORE:
		edit(w, at, whole.len, STR(""));
		return;
	case A_INFO:
		note(w, "info", text, what);
		return;
	case A_PASS:
		w->pass = true;
		return;
	case A_PREPEND:
		edit(w, at, 0, as_line(w, text));
		return;
	case A_REDIRECT:
		w->r->redirect = arena_str(w->a, text);
		return;
	case A_REJECT:
		note(w, "reject", text, what);
		reject(w, text);
		w->pass = true;
		return;
	case A_REPLACE:
		edit(w, at, whole.len, as_line(w, text));
		return;
	case A_WARN:
		note(w, "warning", text, what);
		return;
	case A_FILTER:
		w->r->filter = arena_str(w->a, text);
		return;
	case A_OTHER:
		note(w, "action that does not act here", value, what);
		return;
	}
}

/* ---- what is looked at ---- */

static bool look_up(
	struct walk *w, struct maps *maps, struct str text, struct str whole)
{
	struct str value;

	if (maps == NULL || w->pass || text.len == 0)
		return true;
	enum table_result t = maps_lookup(maps, text, w->a, &value, w->f);
	if (t == TABLE_FOUND)
		act(w, value, whole);
	return t != TABLE_ERROR;
}

static bool is_mime_field(struct str name)
{
	return str_istarts(name, "Content-") || str_ieqc(name, "MIME-Version");
}

/* The field as a table sees it: LF between its lines, none at the end. */
static struct str field_text(struct walk *w, struct str whole)
{
	char *out = arena_alloc(w->a, whole.len + 1);
	size_t n = 0;

	for (size_t i = 0; i < whole.len; i++)
		if (whole.ptr[i] != '\r')
			out[n++] = whole.ptr[i];
	while (n > 0 && out[n - 1] == '\n')
		n--;
	return str_of(out, n);
}

static bool check_head(struct walk *w, struct str head, enum head_kind kind)
{
	struct mail_field field;

	while (mail_field_next(&head, &field)) {
		struct maps *maps =
			kind == HEAD_PART || is_mime_field(field.name)
				? w->k->mime
			: kind == HEAD_NESTED ? w->k->nested
					      : w->k->header;

		if (!look_up(w, maps, field_text(w, field.whole), field.whole))
			return false;
	}
	return true;
}

/* Lines of the message from body_at up to end that are in no header. */
static bool check_body(struct walk *w, size_t end)
{
	struct str rest = str_sub(w->message, w->body_at, end - w->body_at);

	if (w->k->body == NULL || w->pass)
		return true;
	if (rest.len > w->k->body_limit)
		rest.len = w->k->body_limit;
	while (rest.len > 0) {
		ptrdiff_t nl = str_find(rest, '\n');
		struct str line =
			str_sub(rest, 0, nl < 0 ? rest.len : (size_t)nl + 1);

		if (!look_up(w, w->k->body,
			    str_sub(str_trim_right(line), 0, LINE_MAX_BYTES),
			    line))
			return false;
		rest = str_from_at(rest, line.len);
	}
	return true;
}

static bool check_part(
	struct walk *w, const struct mime_part *part, enum head_kind kind)
{
	bool message = mime_is(part, "message", "rfc822") ||
		       mime_is(part, "message", "global");
	size_t at = part->head.len > 0
			    ? (size_t)(part->head.ptr - w->message.ptr)
			    : w->body_at;

	if (!check_body(w, at) || !check_head(w, part->head, kind))
		return false;
	w->body_at = at + part->head.len;
	const struct mime_part *i = w->k->no_parts ? NULL : part->child;
	for (; i != NULL; i = i->next)
		if (!check_part(w, i, message ? HEAD_NESTED : HEAD_PART))
			return false;
	return true;
}

bool content_check(const struct content_checks *k, struct str message,
	struct arena *a, struct content_result *r_r, struct fault *f)
{
	struct content_result r = {0};
	struct walk w = {.k = k, .message = message, .a = a, .r = &r, .f = f};

	w.last = &r.edits;
	if (!check_part(&w, mime_parse(message, a), HEAD_PRIMARY) ||
		!check_body(&w, message.len))
		return false;
	*r_r = r;
	return true;
}
