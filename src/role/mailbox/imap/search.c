/* SPDX-License-Identifier: ISC */
/*
 * SEARCH: RFC 3501 6.4.4.  The program is a tree; a message is read from the
 * store only when a key asks for its text.  Text keys are substrings of the
 * decoded header or body, ASCII case folded.
 */
#include <string.h>

#include "codec/mail/date.h"
#include "codec/mail/encword.h"
#include "codec/mail/header.h"
#include "role/mailbox/imap/imap.h"

enum { DEPTH_MAX = 50, KEYS_MAX = 1000, DECODED_MAX = 64 << 20 };

enum key_kind {
	K_ALL,
	K_FLAG,
	K_NOT_FLAG,
	K_KEYWORD,
	K_NOT_KEYWORD,
	K_SET,
	K_UID,
	K_BEFORE,
	K_ON,
	K_SINCE,
	K_SENTBEFORE,
	K_SENTON,
	K_SENTSINCE,
	K_LARGER,
	K_SMALLER,
	K_HEADER,
	K_BODY,
	K_TEXT,
	K_NOT,
	K_OR,
	K_AND
};

struct key {
	enum key_kind kind;
	uint32_t flag;
	struct str text;
	struct str field;
	struct imap_set set;
	int64_t day;
	uint32_t number;
	struct key *a, *b; /* NOT, OR; AND: list through next */
	struct key *next;
};

struct program {
	struct imap *s;
	struct imap_in *in;
	size_t keys;
	const char *bad;
};

static struct key *parse_key(struct program *p, unsigned depth);

static struct key *fail(struct program *p, const char *why)
{
	if (p->bad == NULL)
		p->bad = why;
	return NULL;
}

static struct key *new_key(struct program *p, enum key_kind kind)
{
	struct key *k = arena_make(p->s->cmd_a, struct key);

	k->kind = kind;
	return k;
}

static struct key *with_text(struct program *p, enum key_kind kind)
{
	struct key *k = new_key(p, kind);

	return imap_space(p->in) && imap_astring(p->in, &k->text)
		       ? k
		       : fail(p, "a search string is missing");
}

static struct key *with_field(struct program *p, const char *field)
{
	struct key *k = with_text(p, K_HEADER);

	if (k != NULL)
		k->field = str_from(field);
	return k;
}

static struct key *with_day(struct program *p, enum key_kind kind)
{
	struct key *k = new_key(p, kind);
	struct str day;

	return imap_space(p->in) && imap_astring(p->in, &day) &&
			       imap_day_parse(day, &k->day)
		       ? k
		       : fail(p, "a date is missing: d-Mon-yyyy");
}

static struct key *with_number(struct program *p, enum key_kind kind)
{
	struct key *k = new_key(p, kind);

	return imap_space(p->in) && imap_number(p->in, &k->number)
		       ? k
		       : fail(p, "a number is missing");
}

static const struct {
	const char *name;
	enum key_kind kind;
	uint32_t flag;
} simple[] = {{"ALL", K_ALL, 0}, {"ANSWERED", K_FLAG, FLAG_ANSWERED},
	{"DELETED", K_FLAG, FLAG_DELETED}, {"DRAFT", K_FLAG, FLAG_DRAFT},
	{"FLAGGED", K_FLAG, FLAG_FLAGGED}, {"SEEN", K_FLAG, FLAG_SEEN},
	{"UNANSWERED", K_NOT_FLAG, FLAG_ANSWERED},
	{"UNDELETED", K_NOT_FLAG, FLAG_DELETED},
	{"UNDRAFT", K_NOT_FLAG, FLAG_DRAFT},
	{"UNFLAGGED", K_NOT_FLAG, FLAG_FLAGGED},
	{"UNSEEN", K_NOT_FLAG, FLAG_SEEN},
	/* \Recent is never set: NEW finds nothing, OLD everything. */
	{"RECENT", K_FLAG, 1u << 31}, {"NEW", K_FLAG, 1u << 31},
	{"OLD", K_ALL, 0}};

static const struct {
	const char *name;
	enum key_kind kind;
} with_arg[] = {{"BEFORE", K_BEFORE}, {"ON", K_ON}, {"SINCE", K_SINCE},
	{"SENTBEFORE", K_SENTBEFORE}, {"SENTON", K_SENTON},
	{"SENTSINCE", K_SENTSINCE}, {"LARGER", K_LARGER},
	{"SMALLER", K_SMALLER}, {"BODY", K_BODY}, {"TEXT", K_TEXT},
	{"KEYWORD", K_KEYWORD}, {"UNKEYWORD", K_NOT_KEYWORD}};

static struct key *parse_arg(struct program *p, enum key_kind kind)
{
	if (kind >= K_BEFORE && kind <= K_SENTSINCE)
		return with_day(p, kind);
	if (kind == K_LARGER || kind == K_SMALLER)
		return with_number(p, kind);
	return with_text(p, kind);
}

static struct key *parse_not_or(struct program *p, bool is_or, unsigned depth)
{
	struct key *k = new_key(p, is_or ? K_OR : K_NOT);

	if (!imap_space(p->in) || (k->a = parse_key(p, depth + 1)) == NULL)
		return fail(p, "a key is missing");
	if (is_or && (!imap_space(p->in) ||
			     (k->b = parse_key(p, depth + 1)) == NULL))
		return fail(p, "the second key of OR is missing");
	return k;
}

static struct key *parse_header(struct program *p)
{
	struct key *k = new_key(p, K_HEADER);

	return imap_space(p->in) && imap_astring(p->in, &k->field) &&
			       imap_space(p->in) &&
			       imap_astring(p->in, &k->text)
		       ? k
		       : fail(p, "HEADER needs a field and a string");
}

static struct key *parse_set(struct program *p, enum key_kind kind)
{
	struct key *k = new_key(p, kind);

	return imap_set_parse(p->in, &k->set) ? k : fail(p, "a bad set");
}

static struct key *parse_word(
	struct program *p, struct str word, unsigned depth)
{
	static const char *const fields[] = {
		"BCC", "CC", "FROM", "SUBJECT", "TO"};

	for (size_t i = 0; i < ARRAY_LEN(simple); i++)
		if (str_ieqc(word, simple[i].name)) {
			struct key *k = new_key(p, simple[i].kind);

			k->flag = simple[i].flag;
			return k;
		}
	for (size_t i = 0; i < ARRAY_LEN(with_arg); i++)
		if (str_ieqc(word, with_arg[i].name))
			return parse_arg(p, with_arg[i].kind);
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (str_ieqc(word, fields[i]))
			return with_field(p, fields[i]);
	if (str_ieqc(word, "HEADER"))
		return parse_header(p);
	if (str_ieqc(word, "NOT") || str_ieqc(word, "OR"))
		return parse_not_or(p, str_ieqc(word, "OR"), depth);
	if (str_ieqc(word, "UID"))
		return imap_space(p->in) ? parse_set(p, K_UID)
					 : fail(p, "UID needs a set");
	return fail(p, "unknown search key");
}

/* keys separated by blanks, up to ")" or the end: all must match */
static struct key *parse_list(struct program *p, unsigned depth)
{
	struct key *all = new_key(p, K_AND);
	struct key **tail = &all->a;

	do {
		*tail = parse_key(p, depth);
		if (*tail == NULL)
			return NULL;
		tail = &(*tail)->next;
	} while (imap_space(p->in));
	return all;
}

static struct key *parse_key(struct program *p, unsigned depth)
{
	struct str word;

	if (depth > DEPTH_MAX || ++p->keys > KEYS_MAX)
		return fail(p, "the search is too complex");
	if (imap_char(p->in, '(')) {
		struct key *k = parse_list(p, depth + 1);

		return k != NULL && imap_char(p->in, ')')
			       ? k
			       : fail(p, "unbalanced ( )");
	}
	if (p->in->rest.len > 0 && (ascii_is_digit(p->in->rest.ptr[0]) ||
					   p->in->rest.ptr[0] == '*'))
		return parse_set(p, K_SET);
	if (!imap_atom(p->in, &word))
		return fail(p, "a search key was expected");
	return parse_word(p, word, depth);
}

/* ---- matching ---- */

struct candidate {
	struct imap *s;
	size_t index;
	struct store_message message;
	bool loaded;
	bool gone;
	struct arena *a; /* reset for each message */
};

static bool load(struct candidate *c)
{
	struct fault f;

	if (c->loaded)
		return !c->gone;
	c->loaded = true;
	c->gone = !store_message(c->s->sv->m->store, c->s->account,
		c->s->view.mailbox, c->s->view.rows[c->index].uid, STORE_BYTES,
		&c->message, &f);
	return !c->gone;
}

static bool header_matches(struct candidate *c, const struct key *k)
{
	struct str head, body;
	struct mail_field field;

	if (!load(c))
		return false;
	mail_split(c->message.bytes, &head, &body);
	while (mail_field_next(&head, &field))
		if (str_ieq(field.name, k->field) &&
			str_isearch(encword_decode(field.value, c->a),
				k->text) >= 0)
			return true;
	return false;
}

static bool part_matches(
	struct candidate *c, const struct mime_part *part, struct str text)
{
	struct buf decoded CLEANUP(buf_fini);

	if (mime_is(part, "text", NULL)) {
		buf_init(&decoded, DECODED_MAX);
		mime_decode_body(part, &decoded);
		struct buf utf8 CLEANUP(buf_fini);
		buf_init(&utf8, DECODED_MAX * 2);
		if (!charset_to_utf8(mime_param(&part->content, "charset"),
			    buf_str(&decoded), &utf8))
			buf_put(&utf8, buf_str(&decoded));
		if (str_isearch(buf_str(&utf8), text) >= 0)
			return true;
	} else if (part->child == NULL && str_isearch(part->body, text) >= 0) {
		return true;
	}
	for (const struct mime_part *i = part->child; i != NULL; i = i->next)
		if (part_matches(c, i, text))
			return true;
	return false;
}

static bool text_matches(struct candidate *c, const struct key *k)
{
	struct str head, body;
	struct mail_field field;

	if (!load(c))
		return false;
	mail_split(c->message.bytes, &head, &body);
	while (k->kind == K_TEXT && mail_field_next(&head, &field))
		if (str_isearch(field.whole, k->text) >= 0 ||
			str_isearch(encword_decode(field.value, c->a),
				k->text) >= 0)
			return true;
	return part_matches(c, mime_parse(c->message.bytes, c->a), k->text);
}

static bool has_keyword(const struct view_row *row, struct str word)
{
	struct str rest = str_from(row->keywords), one;

	while (str_present(one = str_word(&rest, " ")))
		if (str_ieq(one, word))
			return true;
	return false;
}

static bool sent_matches(struct candidate *c, const struct key *k)
{
	struct str head, body;
	int64_t at;
	int zone;

	if (!load(c))
		return false;
	mail_split(c->message.bytes, &head, &body);
	struct str date = mail_field_value(head, "Date");
	if (!str_present(date) || !mail_date_parse(date, &at, &zone))
		return false;
	/* RFC 3501 6.4.4: the day as written, whatever the zone */
	at += (int64_t)zone * 60;
	if (k->kind == K_SENTBEFORE)
		return at < k->day;
	if (k->kind == K_SENTSINCE)
		return at >= k->day;
	return at >= k->day && at < k->day + 86400;
}

static bool set_matches(
	const struct candidate *c, const struct key *k, bool by_uid)
{
	const struct view *v = &c->s->view;
	uint32_t max = by_uid ? v->rows[v->n - 1].uid : (uint32_t)v->n;

	return imap_set_has(&k->set,
		by_uid ? v->rows[c->index].uid : (uint32_t)c->index + 1, max);
}

static bool matches(struct candidate *c, const struct key *k);

static bool all_match(struct candidate *c, const struct key *k)
{
	for (; k != NULL; k = k->next)
		if (!matches(c, k))
			return false;
	return true;
}

static bool matches(struct candidate *c, const struct key *k)
{
	const struct view_row *row = &c->s->view.rows[c->index];

	switch (k->kind) {
	case K_ALL:
		return true;
	case K_FLAG:
		return (row->flags & k->flag) != 0;
	case K_NOT_FLAG:
		return (row->flags & k->flag) == 0;
	case K_KEYWORD:
		return has_keyword(row, k->text);
	case K_NOT_KEYWORD:
		return !has_keyword(row, k->text);
	case K_SET:
		return set_matches(c, k, false);
	case K_UID:
		return set_matches(c, k, true);
	case K_BEFORE:
		return row->received < k->day;
	case K_ON:
		return row->received >= k->day &&
		       row->received < k->day + 86400;
	case K_SINCE:
		return row->received >= k->day;
	case K_SENTBEFORE:
	case K_SENTON:
	case K_SENTSINCE:
		return sent_matches(c, k);
	case K_LARGER:
		return row->size > k->number;
	case K_SMALLER:
		return row->size < k->number;
	case K_HEADER:
		return header_matches(c, k);
	case K_BODY:
	case K_TEXT:
		return text_matches(c, k);
	case K_NOT:
		return !matches(c, k->a);
	case K_OR:
		return matches(c, k->a) || matches(c, k->b);
	case K_AND:
		return all_match(c, k->a);
	}
	return false;
}

static bool parse_charset(struct imap_in *in, bool *known_r)
{
	struct str name;

	*known_r = true;
	if (!imap_word(in, "CHARSET"))
		return true;
	if (!imap_space(in) || !imap_astring(in, &name) || !imap_space(in))
		return false;
	*known_r = str_ieqc(name, "UTF-8") || str_ieqc(name, "US-ASCII");
	return true;
}

void imap_search(struct imap *s, struct imap_in *in)
{
	struct program p = {.s = s, .in = in};
	struct candidate c = {.s = s};
	bool known;

	if (!parse_charset(in, &known)) {
		imap_bad(s, "CHARSET needs a name");
		return;
	}
	if (!known) {
		imap_no(s, "[BADCHARSET (UTF-8 US-ASCII)] unknown charset");
		return;
	}
	struct key *k = parse_list(&p, 0);
	if (k == NULL || !imap_end(in)) {
		imap_bad(s, p.bad != NULL ? p.bad : "SEARCH: unexpected text");
		return;
	}
	c.a = arena_new(SIZE_MAX);
	stream_puts(s->stream, "* SEARCH");
	for (size_t i = 0; i < s->view.n; i++) {
		c.index = i;
		if (matches(&c, k))
			stream_putf(s->stream, " %u",
				s->uid ? s->view.rows[i].uid : (uint32_t)i + 1);
		store_message_fini(&c.message);
		c.loaded = c.gone = false;
		arena_reset(c.a);
		/* Large results leave in pieces. */
		stream_out(s->stream);
	}
	stream_puts(s->stream, "\r\n");
	arena_free(c.a);
	imap_ok(s, "Search completed");
}
