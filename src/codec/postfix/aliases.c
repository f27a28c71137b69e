/* SPDX-License-Identifier: ISC */
#include "codec/postfix/aliases.h"

#include <string.h>

#include "base/buf.h"
#include "codec/postfix/lines.h"

/* ---- targets ---- */

static bool is_gap(char c)
{
	return c == ',' || c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Quotes may stand around all of a target or around a part of it. */
static struct str unquote(struct str item, struct arena *a)
{
	char *out = arena_alloc(a, item.len + 1);
	size_t n = 0;

	if (str_find(item, '"') < 0)
		return item;
	for (size_t i = 0; i < item.len; i++) {
		if (item.ptr[i] == '"')
			continue;
		if (item.ptr[i] == '\\' && i + 1 < item.len &&
			strchr("\"\\", item.ptr[i + 1]) != NULL)
			i++;
		out[n++] = item.ptr[i];
	}
	return str_trim(str_of(out, n));
}

static struct str item_next(struct str *rest)
{
	bool quoted = false;
	size_t i = 0;

	while (i < rest->len && is_gap(rest->ptr[i]))
		i++;
	size_t start = i;
	for (; i < rest->len; i++) {
		char c = rest->ptr[i];

		if (c == '\\' && quoted)
			i++;
		else if (c == '"')
			quoted = !quoted;
		else if (!quoted && c == ',')
			break;
	}
	if (i > rest->len)
		i = rest->len;
	struct str item = str_trim(str_sub(*rest, start, i - start));
	*rest = str_from_at(*rest, i);
	return item;
}

/* A quoted local part is an address as it stands: "a b"@example.com. */
static bool is_quoted_address(struct str item)
{
	ptrdiff_t quote = str_rfind(item, '"');

	return item.len > 0 && item.ptr[0] == '"' && quote > 0 &&
	       str_starts(str_from_at(item, (size_t)quote + 1), "@");
}

bool alias_target_next(
	struct str *rest, struct arena *a, struct alias_target *target_r)
{
	static const struct str include = {":include:", 9};
	struct str item;

	do {
		if (rest->len == 0)
			return false;
		item = item_next(rest);
	} while (item.len == 0);
	if (is_quoted_address(item)) {
		*target_r = (struct alias_target){ALIAS_ADDRESS, item};
		return true;
	}
	struct str bare = unquote(item, a);
	struct alias_target t = {.kind = ALIAS_ADDRESS, .value = bare};

	if (str_istarts(bare, include.ptr))
		t = (struct alias_target){ALIAS_INCLUDE,
			str_trim(str_from_at(bare, include.len))};
	else if (bare.len > 1 && bare.ptr[0] == '|')
		t = (struct alias_target){
			ALIAS_COMMAND, str_trim(str_from_at(bare, 1))};
	else if (bare.len > 1 && bare.ptr[0] == '\\')
		t = (struct alias_target){ALIAS_USER, str_from_at(bare, 1)};
	else if (bare.len > 0 && bare.ptr[0] == '/')
		t.kind = ALIAS_FILE;
	*target_r = t;
	return true;
}

struct str alias_lines_join(struct str text, struct arena *a)
{
	struct logical_lines lines;
	struct logical_line line;
	char *out = arena_alloc(a, text.len * 2 + 2);
	size_t n = 0;

	logical_lines_init(&lines, text, a);
	while (logical_lines_next(&lines, &line)) {
		memcpy(out + n, line.text.ptr, line.text.len);
		n += line.text.len;
		out[n++] = ',';
	}
	return str_of(out, n);
}

/* ---- commands ---- */

struct words {
	struct str in;
	size_t at;
	command_value_f *value;
	void *ctx;
	struct buf word;
	bool started; /* an empty '' is a word, too */
	const char *why;
};

static bool is_name(char c)
{
	return ascii_is_alnum(c) || c == '_';
}

/* $NAME or ${NAME} at the dollar; a lone dollar is itself. */
static void take_value(struct words *w)
{
	size_t i = w->at + 1;
	bool brace = i < w->in.len && w->in.ptr[i] == '{';
	size_t start = brace ? i + 1 : i;
	size_t end = start;

	while (end < w->in.len && is_name(w->in.ptr[end]))
		end++;
	if (end == start ||
		(brace && (end == w->in.len || w->in.ptr[end] != '}'))) {
		if (brace || (i < w->in.len && w->in.ptr[i] == '('))
			w->why = "$( ) and ${...} need a shell";
		buf_putc(&w->word, '$');
		w->at++;
		return;
	}
	struct str value = w->value(str_sub(w->in, start, end - start), w->ctx);
	if (str_present(value))
		buf_put(&w->word, value);
	w->at = brace ? end + 1 : end;
}

/* Inside of quotes up to the closing one. */
static void take_quoted(struct words *w, char quote)
{
	w->started = true;
	w->at++;
	while (w->at < w->in.len && w->in.ptr[w->at] != quote) {
		char c = w->in.ptr[w->at];

		if (quote == '"' && c == '$') {
			take_value(w);
			continue;
		}
		if (quote == '"' && c == '`')
			w->why = "` ` needs a shell";
		if (quote == '"' && c == '\\' && w->at + 1 < w->in.len &&
			strchr("\"\\$`", w->in.ptr[w->at + 1]) != NULL)
			c = w->in.ptr[++w->at];
		buf_putc(&w->word, c);
		w->at++;
	}
	if (w->at >= w->in.len)
		w->why = "a quote is not closed";
	w->at++;
}

static bool take_word(struct words *w)
{
	static const char only_shell[] = ";&|<>()`*?[~\n";

	while (w->at < w->in.len && strchr(" \t", w->in.ptr[w->at]) != NULL)
		w->at++;
	if (w->at >= w->in.len || w->in.ptr[w->at] == '#')
		return false;
	w->word.len = 0;
	w->started = false;
	while (w->at < w->in.len && w->why == NULL) {
		char c = w->in.ptr[w->at];

		if (c == ' ' || c == '\t')
			break;
		w->started = true;
		if (c == '\0' || strchr(only_shell, c) != NULL) {
			w->why = "; & | < > ( ) ` * ? [ ~ need a shell";
		} else if (c == '\'' || c == '"') {
			take_quoted(w, c);
		} else if (c == '$') {
			take_value(w);
		} else {
			if (c == '\\' && w->at + 1 < w->in.len)
				c = w->in.ptr[++w->at];
			buf_putc(&w->word, c);
			w->at++;
		}
	}
	return w->started;
}

bool command_words(struct str command, command_value_f *value, void *ctx,
	struct arena *a, struct strs *words_r, const char **why_r)
{
	struct words w = {.in = command, .value = value, .ctx = ctx};

	*words_r = (struct strs){0};
	buf_init(&w.word, 1 << 20);
	while (w.why == NULL && take_word(&w)) {
		if (words_r->n == 0 && str_eqc(buf_str(&w.word), "exec"))
			continue;
		strs_add(words_r, a, arena_str(a, buf_str(&w.word)));
	}
	if (w.why == NULL && words_r->n == 0)
		w.why = "there is no command";
	else if (w.why == NULL && str_find(words_r->v[0], '=') > 0 &&
		 str_find(words_r->v[0], '/') != 0)
		w.why = "NAME=value in front of a command needs a shell";
	buf_fini(&w.word);
	*why_r = w.why;
	return w.why == NULL;
}
