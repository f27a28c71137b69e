/* SPDX-License-Identifier: ISC */
/*
 * One pass of tokens (word, quoted string, literal, special), with comments
 * and blanks dropped, into a small state: words since the last separator,
 * and whether we are inside <...>.
 */
#include "codec/mail/address.h"

#include "codec/mail/header.h"

#include <string.h>

#include "base/buf.h"

enum token { T_END, T_ATOM, T_QUOTED, T_LITERAL, T_SPECIAL };

struct lexer {
	struct str in;
	size_t at;
	enum token token;
	char special;
	size_t start; /* of the token */
	struct buf text; /* its meaning: unquoted */
	struct str comment; /* the last one, without its parentheses */
};

static void skip_comment(struct lexer *x)
{
	size_t from = x->at + 1;
	int depth = 0;

	for (; x->at < x->in.len; x->at++) {
		char c = x->in.ptr[x->at];

		if (c == '\\' && x->at + 1 < x->in.len)
			x->at++;
		else if (c == '(')
			depth++;
		else if (c == ')' && --depth == 0) {
			x->comment = str_sub(x->in, from, x->at - from);
			x->at++;
			return;
		}
	}
}

static void lex_quoted(struct lexer *x, char end)
{
	x->at++;
	for (; x->at < x->in.len && x->in.ptr[x->at] != end; x->at++) {
		char c = x->in.ptr[x->at];

		if (c == '\\' && x->at + 1 < x->in.len)
			c = x->in.ptr[++x->at];
		if (c != '\r' && c != '\n')
			buf_putc(&x->text, c);
	}
	if (x->at < x->in.len)
		x->at++;
}

static void next(struct lexer *x)
{
	buf_reset(&x->text);
	for (; x->at < x->in.len; x->at++) {
		char c = x->in.ptr[x->at];

		if (c == '(') {
			skip_comment(x);
			x->at--;
		} else if ((unsigned char)c > 0x20 && c != 0x7f) {
			break;
		}
	}
	x->start = x->at;
	if (x->at >= x->in.len) {
		x->token = T_END;
		return;
	}
	char c = x->in.ptr[x->at];
	if (c == '"') {
		x->token = T_QUOTED;
		lex_quoted(x, '"');
	} else if (c == '[') {
		x->token = T_LITERAL;
		buf_putc(&x->text, '[');
		lex_quoted(x, ']');
		buf_putc(&x->text, ']');
	} else if (strchr("<>@,;:.", c) != NULL) {
		x->token = T_SPECIAL;
		x->special = c;
		x->at++;
	} else {
		x->token = T_ATOM;
		while (x->at < x->in.len) {
			c = x->in.ptr[x->at];
			if ((unsigned char)c <= 0x20 ||
				strchr("<>@,;:.\"([", c) != NULL)
				break;
			buf_putc(&x->text, c);
			x->at++;
		}
	}
}

static bool is_special(const struct lexer *x, char c)
{
	return x->token == T_SPECIAL && x->special == c;
}

struct parser {
	struct lexer x;
	struct arena *a;
	struct mail_address_list *list;
	size_t max;
	bool full;
	struct buf phrase; /* words joined by a blank */
	struct buf local;
	size_t spec_start;
	size_t spec_end;
	bool any_word;
};

static void emit(struct parser *p, struct mail_address address)
{
	struct mail_address_list *list = p->list;

	if (list->n >= p->max) {
		p->full = true;
		return;
	}
	if (list->n == list->cap) {
		size_t cap = list->cap > 0 ? list->cap * 2 : 4;
		struct mail_address *v = arena_alloc(p->a, cap * sizeof(*v));

		if (list->n > 0)
			memcpy(v, list->v, list->n * sizeof(*v));
		list->v = v;
		list->cap = cap;
	}
	list->v[list->n++] = address;
	p->x.comment = STR_NONE; /* it is of nobody else */
}

/*
 * Words and dots from the current token on; stops at another token.  local
 * gets them joined, phrase with a blank where there was a gap.
 */
static void read_local(struct parser *p)
{
	struct lexer *x = &p->x;

	buf_reset(&p->local);
	p->spec_start = x->start;
	p->spec_end = x->start;
	while (x->token == T_ATOM || x->token == T_QUOTED ||
		is_special(x, '.')) {
		bool is_dot = x->token == T_SPECIAL;

		/* A blank where there was a gap: "John Q. Public" */
		if (p->phrase.len > 0 && x->start > p->spec_end)
			buf_putc(&p->phrase, ' ');
		if (is_dot)
			buf_putc(&x->text, '.');
		buf_put(&p->local, buf_str(&x->text));
		buf_put(&p->phrase, buf_str(&x->text));
		p->spec_end = x->at;
		next(x);
	}
}

/* after "@": the domain; moves spec_end */
static struct str read_domain(struct parser *p)
{
	struct lexer *x = &p->x;
	struct buf domain CLEANUP(buf_fini);

	buf_init(&domain, p->x.in.len + 16);
	while (x->token == T_ATOM || x->token == T_LITERAL ||
		is_special(x, '.')) {
		if (x->token == T_SPECIAL)
			buf_putc(&domain, '.');
		else
			buf_put(&domain, buf_str(&x->text));
		p->spec_end = x->at;
		next(x);
	}
	return arena_str(p->a, buf_str(&domain));
}

/* "<" [route] addr-spec ">" with x behind the "<" */
static void read_angle(struct parser *p)
{
	struct lexer *x = &p->x;
	struct mail_address address = {.kind = MAIL_MAILBOX};

	if (p->phrase.len > 0)
		address.name = arena_str(p->a, buf_str(&p->phrase));
	if (is_special(x, '@')) {
		size_t start = x->start;

		while (x->token != T_END && !is_special(x, ':') &&
			!is_special(x, '>'))
			next(x);
		address.route = arena_str(
			p->a, str_sub(x->in, start, x->start - start));
		if (is_special(x, ':'))
			next(x);
	}
	read_local(p);
	address.local = arena_str(p->a, buf_str(&p->local));
	if (is_special(x, '@')) {
		next(x);
		address.domain = read_domain(p);
	}
	address.spec =
		str_sub(x->in, p->spec_start, p->spec_end - p->spec_start);
	while (x->token != T_END && !is_special(x, '>') && !is_special(x, ','))
		next(x);
	if (is_special(x, '>'))
		next(x);
	if (address.local.len > 0 || str_present(address.domain))
		emit(p, address);
	p->any_word = false;
	buf_reset(&p->phrase);
}

/* Words without <...>: either a bare addr-spec or the start of a phrase. */
static void read_words(struct parser *p)
{
	struct lexer *x = &p->x;
	struct mail_address address = {.kind = MAIL_MAILBOX};

	read_local(p);
	if (is_special(x, '@')) {
		next(x);
		address.local = arena_str(p->a, buf_str(&p->local));
		x->comment = STR_NONE;
		address.domain = read_domain(p);
		/* RFC 5322 3.4: "user@domain (Name)", as it was once written */
		if (str_present(x->comment) && x->comment.len > 0)
			address.name = mail_unfold(x->comment, p->a);
		address.spec = str_sub(
			x->in, p->spec_start, p->spec_end - p->spec_start);
		emit(p, address);
		p->any_word = false;
		buf_reset(&p->phrase);
		return;
	}
	p->any_word = true;
}

/* A lone word before "," or the end: local part without domain. */
static void flush_word(struct parser *p)
{
	if (p->any_word) {
		struct mail_address address = {.kind = MAIL_MAILBOX};

		address.local = arena_str(p->a, buf_str(&p->phrase));
		if (str_present(p->x.comment) && p->x.comment.len > 0)
			address.name = mail_unfold(p->x.comment, p->a);
		address.spec = str_sub(
			p->x.in, p->spec_start, p->spec_end - p->spec_start);
		emit(p, address);
	}
	p->any_word = false;
	buf_reset(&p->phrase);
}

static void parse_all(struct parser *p)
{
	struct lexer *x = &p->x;
	bool in_group = false;

	next(x);
	while (x->token != T_END && !p->full) {
		if (is_special(x, '<')) {
			next(x);
			read_angle(p);
		} else if (is_special(x, ':') && !in_group) {
			struct mail_address g = {.kind = MAIL_GROUP_START};

			g.name = arena_str(p->a, buf_str(&p->phrase));
			emit(p, g);
			in_group = true;
			p->any_word = false;
			buf_reset(&p->phrase);
			next(x);
		} else if (is_special(x, ';') || is_special(x, ',')) {
			flush_word(p);
			if (x->special == ';' && in_group) {
				struct mail_address g = {
					.kind = MAIL_GROUP_END};

				emit(p, g);
				in_group = false;
			}
			next(x);
		} else if (x->token == T_ATOM || x->token == T_QUOTED ||
			   is_special(x, '.')) {
			read_words(p);
		} else {
			next(x);
		}
	}
	flush_word(p);
	if (in_group)
		emit(p, (struct mail_address){.kind = MAIL_GROUP_END});
}

bool mail_address_parse(struct str value, size_t max, struct arena *a,
	struct mail_address_list *list)
{
	struct parser p = {
		.x = {.in = value}, .a = a, .list = list, .max = max};

	buf_init(&p.x.text, value.len + 16);
	buf_init(&p.phrase, value.len * 2 + 16);
	buf_init(&p.local, value.len + 16);
	parse_all(&p);
	buf_fini(&p.x.text);
	buf_fini(&p.phrase);
	buf_fini(&p.local);
	return !p.full;
}
