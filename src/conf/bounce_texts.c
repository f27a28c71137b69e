/* SPDX-License-Identifier: ISC */
#include "conf/bounce_texts.h"

#include "base/buf.h"
#include "base/utf8.h"
#include "codec/mail/charset.h"
#include "codec/postfix/expand.h"
#include "sys/file.h"

enum { FILE_MAX = 256 * 1024 };

struct texts {
	const struct conf *c;
	struct problems *p;
};

static void say(const struct texts *x, unsigned line, const char *what)
{
	const struct conf *c = x->c;

	problem_add(x->p, PROBLEM_ERROR, c->bounce_template_file, line,
		arena_printf(c->a, "bounce_template_file: %s", what),
		STR("see bounce(5)"));
}

/* "delay_warning_time_hours" */
static struct str in_units(const struct conf *c, struct str name)
{
	const struct {
		const char *name;
		int64_t seconds;
	} times[] = {{"delay_warning_time_", c->delay_warning_time},
		{"maximal_queue_lifetime_", c->maximal_queue_lifetime}};
	static const struct {
		const char *name;
		int64_t seconds;
	} units[] = {{"seconds", 1}, {"minutes", 60}, {"hours", 3600},
		{"days", 86400}, {"weeks", 604800}};

	for (size_t i = 0; i < ARRAY_LEN(times); i++)
		for (size_t j = 0; j < ARRAY_LEN(units); j++)
			if (str_starts(name, times[i].name) &&
				str_eqc(str_from_at(name,
						str_from(times[i].name).len),
					units[j].name))
				return arena_printf(c->a, "%lld",
					(long long)(times[i].seconds /
						    units[j].seconds));
	return STR_NONE;
}

static struct str lookup(struct str name, void *ctx)
{
	const struct texts *x = ctx;
	struct str value = in_units(x->c, name);

	return str_present(value) ? value : conf_raw(x->c, name);
}

static bool to_utf8(struct texts *x, struct bounce_template *t, struct str *s)
{
	struct buf out CLEANUP(buf_fini);

	if (!str_present(*s))
		return true;
	buf_init(&out, FILE_MAX * 4);
	if (str_present(t->charset) && !charset_to_utf8(t->charset, *s, &out)) {
		say(x, t->line, "unknown charset");
		return false;
	}
	if (str_present(t->charset))
		*s = arena_str(x->c->a, buf_str(&out));
	return true;
}

static bool finish(struct texts *x, struct bounce_template *t)
{
	const char *why;

	if (!str_present(t->text))
		return true;
	if (!to_utf8(x, t, &t->text) || !to_utf8(x, t, &t->from) ||
		!to_utf8(x, t, &t->subject) ||
		!to_utf8(x, t, &t->postmaster_subject))
		return false;
	if (!str_present(t->charset) && !utf8_is_ascii(t->text)) {
		say(x, t->line, "a template that is not ASCII needs Charset");
		return false;
	}
	if (expand(t->text, lookup, x, x->c->a, &t->text, &why))
		return true;
	say(x, t->line, why);
	return false;
}

void bounce_texts_load(const struct conf *c, struct problems *p,
	struct bounce_template all_r[BOUNCE_KINDS])
{
	struct buf text CLEANUP(buf_fini);
	struct texts x = {c, p};
	unsigned line = 0;
	const char *why;
	struct fault f;

	for (int i = 0; i < BOUNCE_KINDS; i++)
		all_r[i] = (struct bounce_template){0};
	if (c->bounce_template_file.len == 0)
		return;
	buf_init(&text, FILE_MAX);
	bool ok = file_read(
		arena_cstr(c->a, c->bounce_template_file), FILE_MAX, &text, &f);
	if (!ok) {
		conf_problem(c, p, PROBLEM_ERROR, "bounce_template_file",
			arena_printf(c->a, "bounce_template_file: %s", f.text),
			STR_NONE);
	} else {
		ok = bounce_templates_parse(
			arena_str(c->a, buf_str(&text)), all_r, &line, &why);
		if (!ok)
			say(&x, line, why);
	}
	for (int i = 0; i < BOUNCE_KINDS && ok; i++)
		ok = finish(&x, &all_r[i]);
	for (int i = 0; i < BOUNCE_KINDS && !ok; i++)
		all_r[i] = (struct bounce_template){0};
}
