/* SPDX-License-Identifier: ISC */
#include "codec/postfix/lines.h"

#include "base/buf.h"

void logical_lines_init(
	struct logical_lines *l, struct str text, struct arena *a)
{
	*l = (struct logical_lines){.rest = text, .a = a};
}

static bool is_dropped(struct str line)
{
	struct str s = str_trim(line);

	return s.len == 0 || s.ptr[0] == '#';
}

static bool next_physical(struct logical_lines *l, struct str *line_r)
{
	if (l->rest.len == 0)
		return false;
	*line_r = str_cut(&l->rest, '\n');
	l->number++;
	return true;
}

static bool continues(struct str line)
{
	return line.len > 0 && (line.ptr[0] == ' ' || line.ptr[0] == '\t');
}

bool logical_lines_next(struct logical_lines *l, struct logical_line *line_r)
{
	struct logical_line out = {0};
	struct str line;

	do {
		if (!next_physical(l, &line))
			return false;
	} while (is_dropped(line));
	out.text = line;
	out.first = out.last = l->number;
	out.stray = continues(line);
	for (;;) {
		struct logical_lines before = *l;

		if (!next_physical(l, &line))
			break;
		if (is_dropped(line))
			continue;
		if (!continues(line)) {
			*l = before;
			break;
		}
		out.text = arena_concat(l->a, out.text, line);
		out.last = l->number;
	}
	/* A CR is dropped at the end of the logical line only, as Postfix. */
	out.text = str_trim_right(out.text);
	*line_r = out;
	return true;
}

enum assignment_result assignment_parse(
	struct str line, struct str *name_r, struct str *value_r)
{
	size_t n = 0;

	line = str_trim(line);
	while (n < line.len && line.ptr[n] != '=' && line.ptr[n] != ' ' &&
		line.ptr[n] != '\t')
		n++;
	struct str name = str_sub(line, 0, n);
	struct str rest = str_trim(str_from_at(line, n));
	if (rest.len == 0 || rest.ptr[0] != '=')
		return ASSIGNMENT_NO_EQUALS;
	if (name.len == 0)
		return ASSIGNMENT_NO_NAME;
	*name_r = name;
	*value_r = str_trim(str_from_at(rest, 1));
	return ASSIGNMENT_OK;
}

/* postmap: the key ends at the first blank outside of quotes. */
static bool map_entry(struct str line, struct str *key_r, struct str *value_r,
	const char **why_r)
{
	bool quoted = false;
	size_t n = 0;

	for (; n < line.len; n++) {
		char c = line.ptr[n];

		if (c == '\\' && n + 1 < line.len)
			n++;
		else if (c == '"')
			quoted = !quoted;
		else if (!quoted && (c == ' ' || c == '\t'))
			break;
	}
	*key_r = str_sub(line, 0, n);
	*value_r = str_trim(str_from_at(line, n));
	if (value_r->len == 0) {
		*why_r = str_ends(*key_r, ":")
				 ? "key without value: is this an alias file?"
				 : "key without value";
		return false;
	}
	if (str_ends(*key_r, ":"))
		*why_r = "key ends in ':': is this an alias file?";
	return true;
}

/* aliases(5): the name may be quoted, ends at ":". */
static bool alias_entry(struct str line, struct arena *a, struct str *key_r,
	struct str *value_r, const char **why_r)
{
	char *name = arena_alloc(a, line.len + 1);
	size_t len = 0;
	size_t n = 0;
	bool quoted = false;

	for (; n < line.len; n++) {
		char c = line.ptr[n];

		if (c == '\\' && n + 1 < line.len)
			name[len++] = line.ptr[++n];
		else if (c == '"')
			quoted = !quoted;
		else if (!quoted && c == ':')
			break;
		else if (quoted || (c != ' ' && c != '\t'))
			name[len++] = c;
		else if (len > 0 &&
			 str_trim(str_from_at(line, n)).ptr[0] != ':') {
			*why_r = "an alias needs \"name: value\"";
			return false;
		}
	}
	*key_r = str_of(name, len);
	*value_r = str_trim(str_from_at(line, n + 1));
	if (n >= line.len || len == 0) {
		*why_r = "an alias needs \"name: value\"";
		return false;
	}
	if (str_find(*key_r, '@') >= 0 || str_find(*key_r, '%') >= 0) {
		*why_r = "an alias name is a local part: no @ or %";
		return false;
	}
	if (value_r->len == 0) {
		*why_r = "alias without value";
		return false;
	}
	return true;
}

bool table_entry_parse(struct str line, bool aliases, struct arena *a,
	struct str *key_r, struct str *value_r, const char **why_r)
{
	*why_r = NULL;
	line = str_trim(line);
	return aliases ? alias_entry(line, a, key_r, value_r, why_r)
		       : map_entry(line, key_r, value_r, why_r);
}

static bool is_separator(char c)
{
	return c == ',' || c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct str list_item(struct str *rest)
{
	size_t i = 0;
	int depth = 0;

	while (i < rest->len && is_separator(rest->ptr[i]))
		i++;
	if (i == rest->len) {
		*rest = STR_NONE;
		return STR_NONE;
	}
	size_t start = i;
	for (; i < rest->len; i++) {
		char c = rest->ptr[i];

		if (c == '{')
			depth++;
		else if (c == '}' && depth > 0)
			depth--;
		else if (depth == 0 && is_separator(c))
			break;
	}
	struct str item = str_sub(*rest, start, i - start);
	*rest = str_from_at(*rest, i);
	return item;
}

struct strs list_items(struct str list, struct arena *a)
{
	struct strs out = {0};
	struct str item;

	while (str_present(item = list_item(&list)))
		strs_add(&out, a, item);
	return out;
}

struct str list_unbrace(struct str s)
{
	size_t depth = 0;

	s = str_trim(s);
	/* "{a} {b}" is two items: the first brace has to end last. */
	for (size_t i = 0; i < s.len; i++) {
		depth += s.ptr[i] == '{';
		depth -= s.ptr[i] == '}' && depth > 0;
		if (depth == 0)
			return i > 0 && i + 1 == s.len
				       ? str_trim(str_sub(s, 1, s.len - 2))
				       : s;
	}
	return s;
}

/* Words of master.cf: blanks separate, { } groups. */
static struct str master_word(struct str *rest)
{
	size_t i = 0;
	int depth = 0;

	*rest = str_trim(*rest);
	if (rest->len == 0)
		return STR_NONE;
	for (; i < rest->len; i++) {
		char c = rest->ptr[i];

		if (c == '{')
			depth++;
		else if (c == '}' && depth > 0)
			depth--;
		else if (depth == 0 && (c == ' ' || c == '\t'))
			break;
	}
	struct str word = str_sub(*rest, 0, i);
	*rest = str_from_at(*rest, i);
	return word;
}

bool master_line_parse(struct str line, struct arena *a,
	struct master_line *line_r, const char **why_r)
{
	struct master_line m = {0};
	struct str *const fields[] = {&m.service, &m.type, &m.private_,
		&m.unprivileged, &m.chroot, &m.wakeup, &m.maxproc, &m.command};

	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		*fields[i] = master_word(&line);
		if (fields[i]->len == 0) {
			*why_r = "needs eight fields: service type private "
				 "unpriv chroot wakeup maxproc command";
			return false;
		}
	}
	for (;;) {
		struct str word = master_word(&line);

		if (!str_present(word))
			break;
		strs_add(&m.args, a, list_unbrace(word));
	}
	*line_r = m;
	return true;
}
