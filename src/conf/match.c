/* SPDX-License-Identifier: ISC */
#include "conf/match.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "codec/postfix/lines.h"
#include "codec/postfix/value.h"
#include "sys/file.h"

enum { LIST_FILE_MAX = 64 << 20, NESTING_MAX = 10 };

struct item {
	bool negated;
	struct str word; /* lower case; absent for a network or table */
	struct cidr cidr; /* len 0: none */
	struct maps *maps; /* one table; NULL: none */
};

struct match_list {
	enum match_kind kind;
	bool subdomains;
	struct item *v;
	size_t n;
	size_t cap;
};

struct builder {
	struct tables *t;
	const struct conf *c;
	const char *param;
	struct problems *problems;
	struct match_list *list;
};

static void add(struct builder *b, struct item item)
{
	struct match_list *l = b->list;

	if (l->n == l->cap) {
		l->cap = l->cap > 0 ? l->cap * 2 : 8;
		struct item *v = arena_alloc(b->c->a, l->cap * sizeof(*v));
		if (l->n > 0)
			memcpy(v, l->v, l->n * sizeof(*v));
		l->v = v;
	}
	l->v[l->n++] = item;
}

static void complain(struct builder *b, enum problem_level level,
	struct str word, const char *what, struct str hint)
{
	conf_problem(b->c, b->problems, level, b->param,
		arena_printf(
			b->c->a, "%s: %.*s: %s", b->param, STR_ARG(word), what),
		hint);
}

static void add_list(struct builder *b, struct str list, unsigned depth);

static void add_file(struct builder *b, struct str path, unsigned depth)
{
	struct buf text CLEANUP(buf_fini);
	struct logical_lines lines;
	struct logical_line line;
	struct fault f;

	buf_init(&text, LIST_FILE_MAX + 65536);
	if (!file_read(arena_cstr(b->c->a, path), LIST_FILE_MAX, &text, &f)) {
		complain(b, PROBLEM_ERROR, path, f.text,
			STR("create the file, or take it out of the list"));
		return;
	}
	/* The views must outlive the buffer. */
	logical_lines_init(&lines, arena_str(b->c->a, buf_str(&text)), b->c->a);
	while (logical_lines_next(&lines, &line))
		add_list(b, line.text, depth + 1);
}

/* What a network with host bits was meant to be. */
static struct str network_of(struct str word, struct arena *a)
{
	ptrdiff_t slash = str_rfind(word, '/');
	unsigned char addr[16];
	size_t len;
	uint64_t bits;
	struct buf out CLEANUP(buf_fini);

	buf_init(&out, 128);
	if (slash < 0 ||
		!address_parse(str_sub(word, 0, (size_t)slash), addr, &len) ||
		!str_u64(str_from_at(word, (size_t)slash + 1), &bits) ||
		len != 4 || bits > 32)
		return STR("clear the bits behind the prefix");
	for (size_t i = 0; i < 4; i++) {
		size_t keep = bits > i * 8 ? (size_t)bits - i * 8 : 0;
		unsigned mask = keep >= 8 ? 255u : 255u & (0xff00u >> keep);

		buf_putf(&out, "%s%u", i > 0 ? "." : "write ", addr[i] & mask);
	}
	buf_putf(&out, "/%u", (unsigned)bits);
	return arena_str(a, buf_str(&out));
}

static void add_word(struct builder *b, struct str word, bool negated)
{
	struct item item = {.negated = negated};

	if (b->list->kind == MATCH_ADDRESSES) {
		switch (cidr_parse(word, &item.cidr)) {
		case CIDR_OK:
			add(b, item);
			return;
		case CIDR_HOST_BITS:
			complain(b, PROBLEM_ERROR, word,
				"host bits are set behind the prefix",
				network_of(word, b->c->a));
			return;
		case CIDR_NOT_ONE:
			if (str_find(word, '/') >= 0 ||
				str_find(word, '[') >= 0) {
				complain(b, PROBLEM_ERROR, word,
					"not a network",
					STR("write address/bits, IPv6 in "
					    "[brackets]/bits"));
				return;
			}
			break;
		}
	}
	item.word = arena_lower(b->c->a, word);
	add(b, item);
}

static void add_list(struct builder *b, struct str list, unsigned depth)
{
	struct str word, type, name;

	if (depth > NESTING_MAX) {
		complain(b, PROBLEM_ERROR, list, "files include each other",
			STR_NONE);
		return;
	}
	while (str_present(word = list_item(&list))) {
		bool negated = false;

		while (word.len > 0 && word.ptr[0] == '!') {
			negated = !negated;
			word = str_from_at(word, 1);
		}
		if (word.len == 0) {
			complain(b, PROBLEM_ERROR, STR("!"), "no pattern",
				STR("write the pattern behind the !"));
			continue;
		}
		if (word.ptr[0] == '/') {
			add_file(b, word, depth);
			continue;
		}
		table_spec_split(word, &type, &name);
		bool address = b->list->kind == MATCH_ADDRESSES &&
			       (word.ptr[0] == '[' ||
				       str_isearch(word, STR("::")) >= 0);
		if (str_present(type) && type.len > 0 && !address) {
			struct item item = {.negated = negated};

			item.maps = maps_open(
				b->t, b->c, b->param, word, 0, b->problems);
			if (item.maps != NULL)
				add(b, item);
			continue;
		}
		add_word(b, word, negated);
	}
}

struct match_list *match_list_new(struct tables *t, const struct conf *c,
	const char *param, struct str list, enum match_kind kind,
	bool subdomains, struct problems *problems)
{
	struct match_list *l = arena_make(c->a, struct match_list);
	struct builder b = {t, c, param, problems, l};

	l->kind = kind;
	l->subdomains = subdomains;
	add_list(&b, list, 0);
	return l;
}

static bool word_matches(
	const struct match_list *l, struct str word, struct str name)
{
	if (str_ieq(word, name))
		return true;
	if (word.len > 0 && word.ptr[0] == '.' && !l->subdomains)
		return name.len > word.len && str_iends(name, word);
	return l->subdomains && name.len > word.len &&
	       name.ptr[name.len - word.len - 1] == '.' &&
	       str_iends(name, word);
}

/* A table is asked for the name, and where wanted for its parents. */
static enum table_result ask_maps(const struct match_list *l, struct maps *maps,
	struct str name, struct arena *a, struct fault *f)
{
	struct str value;
	enum table_result r = maps_lookup(maps, name, a, &value, f);

	while (r == TABLE_NONE && l->subdomains && str_find(name, '.') >= 0) {
		str_cut(&name, '.');
		r = maps_lookup(maps, name, a, &value, f);
	}
	return r;
}

enum table_result match_name(const struct match_list *l, struct str name,
	struct arena *a, struct fault *f)
{
	for (size_t i = 0; l != NULL && i < l->n; i++) {
		const struct item *item = &l->v[i];
		enum table_result r = TABLE_NONE;

		if (item->maps != NULL)
			r = ask_maps(l, item->maps, name, a, f);
		else if (str_present(item->word) &&
			 word_matches(l, item->word, name))
			r = TABLE_FOUND;
		if (r == TABLE_ERROR)
			return r;
		if (r == TABLE_FOUND)
			return item->negated ? TABLE_NONE : TABLE_FOUND;
	}
	return TABLE_NONE;
}

enum table_result match_address(const struct match_list *l,
	const unsigned char *addr, size_t len, struct str text, struct arena *a,
	struct fault *f)
{
	for (size_t i = 0; l != NULL && i < l->n; i++) {
		const struct item *item = &l->v[i];
		enum table_result r = TABLE_NONE;
		struct str value;

		if (item->cidr.len > 0)
			r = cidr_match(&item->cidr, addr, len) ? TABLE_FOUND
							       : TABLE_NONE;
		else if (item->maps != NULL)
			r = maps_lookup(item->maps, text, a, &value, f);
		if (r == TABLE_ERROR)
			return r;
		if (r == TABLE_FOUND)
			return item->negated ? TABLE_NONE : TABLE_FOUND;
	}
	return TABLE_NONE;
}

unsigned match_widest(const struct match_list *l, size_t addr_len)
{
	unsigned widest = UINT_MAX;

	for (size_t i = 0; i < l->n; i++)
		if (l->v[i].cidr.len == addr_len && !l->v[i].negated &&
			l->v[i].cidr.bits < widest)
			widest = l->v[i].cidr.bits;
	return widest;
}

bool match_word(const struct match_list *l, size_t i, struct str *word_r)
{
	if (i >= l->n)
		return false;
	*word_r = l->v[i].negated ? STR_NONE : l->v[i].word;
	return true;
}

bool match_subdomains(const struct conf *c, const char *param)
{
	return conf_option_has(c->parent_domain_matches_subdomains, param);
}
