/* SPDX-License-Identifier: ISC */
/*
 * cidr:, regexp: and pcre: rules, in order, with if/endif.  Patterns run in
 * PCRE2 with limits on backtracking; regexp: patterns are read by it too
 * (POSIX extended patterns are, but for rarities, valid there).
 */
#include <stdlib.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/buf.h"
#include "base/must.h"
#include "codec/postfix/lines.h"
#include "codec/postfix/value.h"
#include "conf/table_private.h"

enum { MATCH_LIMIT = 100000, DEPTH_LIMIT = 1000, RESULT_MAX = 65536 };

enum rule_kind { RULE_MATCH, RULE_IF, RULE_ENDIF };

struct table_rule {
	enum rule_kind kind;
	bool negated;
	struct cidr cidr;
	pcre2_code *code; /* NULL: a cidr rule */
	struct str value;
};

void table_rules_free(struct table_content *content)
{
	for (size_t i = 0; i < content->n_rules; i++)
		pcre2_code_free(content->rules[i].code);
	free(content->rules);
	content->rules = NULL;
	content->n_rules = 0;
}

static bool compile(struct str pattern, struct str flags,
	struct table_rule *rule, struct arena *a, struct str *why_r)
{
	uint32_t options = PCRE2_CASELESS | PCRE2_DOTALL;
	int error;
	PCRE2_SIZE at;

	for (size_t i = 0; i < flags.len; i++) {
		switch (flags.ptr[i]) {
		case 'i':
			options ^= PCRE2_CASELESS;
			break;
		case 'm':
			options ^= PCRE2_MULTILINE;
			break;
		case 's':
			options ^= PCRE2_DOTALL;
			break;
		case 'x':
			options ^= PCRE2_EXTENDED;
			break;
		default:
			*why_r = arena_printf(
				a, "unknown pattern flag '%c'", flags.ptr[i]);
			return false;
		}
	}
	rule->code = pcre2_compile((PCRE2_SPTR)pattern.ptr, pattern.len,
		options, &error, &at, NULL);
	if (rule->code != NULL)
		return true;
	char text[120];
	pcre2_get_error_message(error, (PCRE2_UCHAR *)text, sizeof(text));
	*why_r =
		arena_printf(a, "pattern, character %zu: %s", (size_t)at, text);
	return false;
}

/* "/pattern/flags" at the front of *s */
static bool take_pattern(struct str *s, struct table_rule *rule,
	struct arena *a, struct str *why_r)
{
	if (s->len < 2 || ascii_is_alnum(s->ptr[0])) {
		*why_r = STR("write /pattern/ result");
		return false;
	}
	char delimiter = s->ptr[0];
	size_t i = 1;
	while (i < s->len && s->ptr[i] != delimiter) {
		if (s->ptr[i] == '\\' && i + 1 < s->len)
			i++;
		i++;
	}
	if (i >= s->len) {
		*why_r = STR("the pattern has no end");
		return false;
	}
	struct str pattern = str_sub(*s, 1, i - 1);
	struct str rest = str_from_at(*s, i + 1);
	size_t n = 0;
	while (n < rest.len && rest.ptr[n] != ' ' && rest.ptr[n] != '\t')
		n++;
	if (!compile(pattern, str_sub(rest, 0, n), rule, a, why_r))
		return false;
	*s = str_from_at(rest, n);
	return true;
}

static bool take_network(
	struct str *s, struct table_rule *rule, struct str *why_r)
{
	struct str word = str_word(s, " \t");

	switch (cidr_parse(word, &rule->cidr)) {
	case CIDR_OK:
		return true;
	case CIDR_HOST_BITS:
		*why_r = STR("host bits are set behind the prefix");
		return false;
	case CIDR_NOT_ONE:
		break;
	}
	*why_r = STR("write network/bits result");
	return false;
}

static bool parse_rule(struct str line, bool cidr, struct table_rule *rule,
	struct arena *a, struct str *why_r)
{
	struct str s = str_trim(line);

	if (str_ieqc(s, "endif")) {
		rule->kind = RULE_ENDIF;
		return true;
	}
	if (str_istarts(s, "if ") || str_istarts(s, "if!") ||
		str_istarts(s, "if/")) {
		rule->kind = RULE_IF;
		s = str_trim(str_from_at(s, 2));
	}
	while (s.len > 0 && s.ptr[0] == '!') {
		rule->negated = !rule->negated;
		s = str_trim(str_from_at(s, 1));
	}
	if (!(cidr ? take_network(&s, rule, why_r)
		   : take_pattern(&s, rule, a, why_r)))
		return false;
	rule->value = arena_str(a, str_trim(s));
	if (rule->kind == RULE_MATCH && rule->value.len == 0) {
		*why_r = STR("a rule without result");
		return false;
	}
	return true;
}

void table_read_rules(struct table_reader *r, struct str text, bool cidr)
{
	struct table_content *c = r->content;
	struct logical_lines lines;
	struct logical_line line;
	size_t cap = 0;
	int depth = 0;

	logical_lines_init(&lines, text, c->a);
	while (logical_lines_next(&lines, &line)) {
		struct table_rule rule = {0};
		struct str why = STR("bad rule");
		struct str one = list_unbrace(line.text);
		bool ok = parse_rule(one, cidr, &rule, c->a, &why);

		depth += rule.kind == RULE_IF      ? 1
			 : rule.kind == RULE_ENDIF ? -1
						   : 0;
		if (ok && depth < 0) {
			ok = false;
			why = STR("endif without if");
		}
		if (!ok) {
			r->errors++;
			if (r->problems != NULL)
				problem_add(r->problems, PROBLEM_ERROR, r->file,
					line.first, why, STR_NONE);
			continue;
		}
		if (c->n_rules == cap) {
			cap = cap > 0 ? cap * 2 : 16;
			c->rules =
				must_realloc(c->rules, cap * sizeof(*c->rules));
		}
		c->rules[c->n_rules++] = rule;
	}
}

/* $1, ${1}, $$ in a result */
static struct str substitute(struct str value, struct str key,
	pcre2_match_data *data, struct arena *a)
{
	struct buf out CLEANUP(buf_fini);
	PCRE2_SIZE *v = pcre2_get_ovector_pointer(data);
	uint32_t n = pcre2_get_ovector_count(data);

	buf_init(&out, RESULT_MAX);
	for (size_t i = 0; i < value.len; i++) {
		size_t group = 0, j = i + 1;

		if (value.ptr[i] != '$' || j == value.len) {
			buf_putc(&out, value.ptr[i]);
			continue;
		}
		if (value.ptr[j] == '$') {
			buf_putc(&out, '$');
			i = j;
			continue;
		}
		bool brace = value.ptr[j] == '{' || value.ptr[j] == '(';
		j += brace;
		while (j < value.len && ascii_is_digit(value.ptr[j]) &&
			group < 1000)
			group = group * 10 + (size_t)(value.ptr[j++] - '0');
		if (brace && j < value.len)
			j++;
		if (group < n && v[2 * group] != PCRE2_UNSET)
			buf_put(&out, str_sub(key, v[2 * group],
					      v[2 * group + 1] - v[2 * group]));
		i = j - 1;
	}
	return arena_str(a, buf_str(&out));
}

static enum table_result match_pattern(const struct table_rule *rule,
	struct str key, struct arena *a, struct str *value_r, struct fault *f)
{
	pcre2_match_context *limits = pcre2_match_context_create(NULL);
	pcre2_match_data *data =
		pcre2_match_data_create_from_pattern(rule->code, NULL);

	pcre2_set_match_limit(limits, MATCH_LIMIT);
	pcre2_set_depth_limit(limits, DEPTH_LIMIT);
	int n = pcre2_match(
		rule->code, (PCRE2_SPTR)key.ptr, key.len, 0, 0, data, limits);
	enum table_result result = n >= 0 ? TABLE_FOUND : TABLE_NONE;
	if (n < 0 && n != PCRE2_ERROR_NOMATCH) {
		fault_set(f, FAULT_TEMP, 451, 3, 0,
			"a pattern takes too long (PCRE2 error %d)", n);
		result = TABLE_ERROR;
	} else if (n >= 0 && !rule->negated) {
		*value_r = substitute(rule->value, key, data, a);
	}
	pcre2_match_data_free(data);
	pcre2_match_context_free(limits);
	return result;
}

static enum table_result match(const struct table_rule *rule, struct str key,
	struct arena *a, struct str *value_r, struct fault *f)
{
	enum table_result result = TABLE_NONE;
	unsigned char addr[16];
	size_t len;

	if (rule->code != NULL)
		result = match_pattern(rule, key, a, value_r, f);
	else if (!address_parse(key, addr, &len))
		return TABLE_NONE;
	else if (cidr_match(&rule->cidr, addr, len)) {
		*value_r = arena_str(a, rule->value);
		result = TABLE_FOUND;
	}
	if (!rule->negated || result == TABLE_ERROR)
		return result;
	*value_r = arena_str(a, rule->value);
	return result == TABLE_FOUND ? TABLE_NONE : TABLE_FOUND;
}

/* Index of the endif that closes the if at i. */
static size_t endif_of(const struct table_content *c, size_t i)
{
	int depth = 0;

	for (; i < c->n_rules; i++) {
		if (c->rules[i].kind == RULE_IF)
			depth++;
		else if (c->rules[i].kind == RULE_ENDIF && --depth == 0)
			break;
	}
	return i;
}

enum table_result table_match_rules(const struct table_content *content,
	struct str key, struct arena *a, struct str *value_r, struct fault *f)
{
	for (size_t i = 0; i < content->n_rules; i++) {
		const struct table_rule *rule = &content->rules[i];

		if (rule->kind == RULE_ENDIF)
			continue;
		enum table_result r = match(rule, key, a, value_r, f);
		if (r == TABLE_ERROR)
			return r;
		if (rule->kind == RULE_IF) {
			if (r == TABLE_NONE)
				i = endif_of(content, i);
		} else if (r == TABLE_FOUND) {
			return r;
		}
	}
	return TABLE_NONE;
}
