/* SPDX-License-Identifier: ISC */
/* A search program, read into a tree. */
#include <string.h>

#include "codec/mail/casemap.h"
#include "codec/mail/date.h"
#include "role/mailbox/imap/search_key.h"

enum { DEPTH_MAX = 50, KEYS_MAX = 1000 };

struct parser {
	struct imap *s;
	struct imap_in *in;
	size_t keys;
	bool modseq;
	bool numbers;
	const char *bad;
};

static struct search_key *parse_key(struct parser *p, unsigned depth);

static struct search_key *fail(struct parser *p, const char *why)
{
	if (p->bad == NULL)
		p->bad = why;
	return NULL;
}

static struct search_key *new_key(struct parser *p, enum key_kind kind)
{
	struct search_key *k = arena_make(p->s->cmd_a, struct search_key);

	k->kind = kind;
	return k;
}

static struct search_key *with_text(struct parser *p, enum key_kind kind)
{
	struct search_key *k = new_key(p, kind);

	if (!imap_space(p->in) || !imap_astring(p->in, &k->text))
		return fail(p, "a search string is missing");
	if (kind == K_HEADER || kind == K_BODY || kind == K_TEXT)
		k->text = casemap(k->text, p->s->cmd_a);
	return k;
}

static struct search_key *with_field(struct parser *p, const char *field)
{
	struct search_key *k = with_text(p, K_HEADER);

	if (k != NULL) {
		k->field = str_from(field);
		k->addresses = strcmp(field, "SUBJECT") != 0;
	}
	return k;
}

static struct search_key *with_day(struct parser *p, enum key_kind kind)
{
	struct search_key *k = new_key(p, kind);
	struct str day;

	return imap_space(p->in) && imap_astring(p->in, &day) &&
			       imap_day_parse(day, &k->day)
		       ? k
		       : fail(p, "a date is missing: d-Mon-yyyy");
}

static struct search_key *with_number(struct parser *p, enum key_kind kind)
{
	struct search_key *k = new_key(p, kind);

	return imap_space(p->in) && imap_number64(p->in, &k->number)
		       ? k
		       : fail(p, "a number is missing");
}

/* RFC 5032: seconds before now; the day is the moment then */
static struct search_key *with_interval(struct parser *p, enum key_kind kind)
{
	struct search_key *k = with_number(p, kind);

	if (k == NULL || k->number == 0 || k->number > UINT32_MAX)
		return fail(p, "an interval in seconds is missing");
	k->day = clock_unix() - (int64_t)k->number;
	return k;
}

/* MODSEQ ["/flags/\\Seen" all] 123: RFC 7162 3.1.5.  One number stands for a
 * whole message here, so the entry does not matter. */
static struct search_key *parse_modseq(struct parser *p)
{
	struct search_key *k = new_key(p, K_MODSEQ);
	struct str entry;

	if (!imap_space(p->in))
		return fail(p, "MODSEQ needs a number");
	if (str_starts(p->in->rest, "\"") &&
		(!imap_string(p->in, &entry) || !imap_space(p->in) ||
			(!imap_word(p->in, "all") &&
				!imap_word(p->in, "priv") &&
				!imap_word(p->in, "shared")) ||
			!imap_space(p->in)))
		return fail(p, "a broken MODSEQ entry");
	p->modseq = true;
	p->s->condstore = true;
	return imap_number64(p->in, &k->number)
		       ? k
		       : fail(p, "MODSEQ needs a number");
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
	{"UNSEEN", K_NOT_FLAG, FLAG_SEEN}, {"RECENT", K_FLAG, PICK_RECENT},
	{"NEW", K_NEW, 0}, {"OLD", K_NOT_FLAG, PICK_RECENT},
	/* RFC 8514 4.3: every mailbox has save dates */
	{"SAVEDATESUPPORTED", K_ALL, 0}};

static const struct {
	const char *name;
	enum key_kind kind;
} with_arg[] = {{"BEFORE", K_BEFORE}, {"ON", K_ON}, {"SINCE", K_SINCE},
	{"SENTBEFORE", K_SENTBEFORE}, {"SENTON", K_SENTON},
	{"SENTSINCE", K_SENTSINCE}, {"LARGER", K_LARGER},
	{"SMALLER", K_SMALLER}, {"BODY", K_BODY}, {"TEXT", K_TEXT},
	{"KEYWORD", K_KEYWORD}, {"UNKEYWORD", K_NOT_KEYWORD},
	{"SAVEDBEFORE", K_SAVEDBEFORE}, {"SAVEDON", K_SAVEDON},
	{"SAVEDSINCE", K_SAVEDSINCE}, {"OLDER", K_OLDER},
	{"YOUNGER", K_YOUNGER}, {"EMAILID", K_EMAILID},
	{"THREADID", K_THREADID}};

static struct search_key *parse_arg(struct parser *p, enum key_kind kind)
{
	if (kind >= K_BEFORE && kind <= K_SAVEDSINCE)
		return with_day(p, kind);
	if (kind == K_OLDER || kind == K_YOUNGER)
		return with_interval(p, kind);
	if (kind == K_LARGER || kind == K_SMALLER)
		return with_number(p, kind);
	return with_text(p, kind);
}

static struct search_key *parse_not_or(
	struct parser *p, bool is_or, unsigned depth)
{
	struct search_key *k = new_key(p, is_or ? K_OR : K_NOT);

	if (!imap_space(p->in) || (k->a = parse_key(p, depth + 1)) == NULL)
		return fail(p, "a key is missing");
	if (is_or && (!imap_space(p->in) ||
			     (k->b = parse_key(p, depth + 1)) == NULL))
		return fail(p, "the second key of OR is missing");
	if (is_or && k->b->cost < k->a->cost) {
		struct search_key *dear = k->a;

		k->a = k->b;
		k->b = dear;
	}
	return k;
}

static struct search_key *parse_header(struct parser *p)
{
	struct search_key *k = new_key(p, K_HEADER);

	if (!imap_space(p->in) || !imap_astring(p->in, &k->field) ||
		!imap_space(p->in) || !imap_astring(p->in, &k->text))
		return fail(p, "HEADER needs a field and a string");
	k->text = casemap(k->text, p->s->cmd_a);
	return k;
}

static struct search_key *parse_set(struct parser *p, enum key_kind kind)
{
	struct search_key *k = new_key(p, kind);
	bool by_uid;

	p->numbers |= kind == K_SET || str_starts(p->in->rest, "$");
	if (!imap_set_or_saved(p->s, p->in, &k->set, &by_uid))
		return fail(p, "a bad set");
	/* "$" holds UIDs whatever the form is. */
	if (by_uid && !p->s->uid)
		k->kind = K_UID;
	if (k->kind == K_SET && p->s->uidonly)
		return fail(p, "[UIDREQUIRED] message numbers are off");
	return k;
}

static struct search_key *parse_word(
	struct parser *p, struct str word, unsigned depth)
{
	static const char *const fields[] = {
		"BCC", "CC", "FROM", "SUBJECT", "TO"};

	for (size_t i = 0; i < ARRAY_LEN(simple); i++)
		if (str_ieqc(word, simple[i].name)) {
			struct search_key *k = new_key(p, simple[i].kind);

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
	if (str_ieqc(word, "MODSEQ"))
		return parse_modseq(p);
	/* RFC 6203: exact is as fuzzy as it gets here. */
	if (str_ieqc(word, "FUZZY"))
		return imap_space(p->in) ? parse_key(p, depth + 1)
					 : fail(p, "FUZZY needs a key");
	if (str_ieqc(word, "UID"))
		return imap_space(p->in) ? parse_set(p, K_UID)
					 : fail(p, "UID needs a set");
	return fail(p, "unknown search key");
}

/* Of one key alone; what is not named needs the row. */
static const enum search_cost costs[] = {[K_SENTBEFORE] = COST_SUMMARY,
	[K_SENTON] = COST_SUMMARY,
	[K_SENTSINCE] = COST_SUMMARY,
	[K_SAVEDBEFORE] = COST_SUMMARY,
	[K_SAVEDON] = COST_SUMMARY,
	[K_SAVEDSINCE] = COST_SUMMARY,
	[K_THREADID] = COST_SUMMARY,
	[K_HEADER] = COST_HEADER,
	[K_BODY] = COST_TEXT,
	[K_TEXT] = COST_TEXT,
	[K_AND] = COST_ROW};

static enum search_cost cost_of(const struct search_key *k)
{
	enum search_cost cost = costs[k->kind];

	for (const struct search_key *a = k->a; a != NULL; a = a->next)
		cost = a->cost > cost ? a->cost : cost;
	return k->b != NULL && k->b->cost > cost ? k->b->cost : cost;
}

/* Of BODY x UNSEEN, the unseen ones are read. */
static struct search_key *cheap_first(struct search_key *k)
{
	struct search_key *first[COSTS] = {0}, **end[COSTS], *all = NULL;

	for (int i = 0; i < COSTS; i++)
		end[i] = &first[i];
	for (; k != NULL; k = k->next) {
		*end[k->cost] = k;
		end[k->cost] = &k->next;
	}
	for (int i = COSTS - 1; i >= 0; i--) {
		*end[i] = all;
		all = first[i];
	}
	return all;
}

/* keys separated by blanks, up to ")" or the end: all must match */
static struct search_key *parse_list(struct parser *p, unsigned depth)
{
	struct search_key *all = new_key(p, K_AND);
	struct search_key **tail = &all->a;

	do {
		*tail = parse_key(p, depth);
		if (*tail == NULL)
			return NULL;
		tail = &(*tail)->next;
	} while (imap_space(p->in));
	all->a = cheap_first(all->a);
	return all;
}

static struct search_key *parse_one(struct parser *p, unsigned depth)
{
	struct str word;

	if (depth > DEPTH_MAX || ++p->keys > KEYS_MAX)
		return fail(p, "the search is too complex");
	if (imap_char(p->in, '(')) {
		struct search_key *k = parse_list(p, depth + 1);

		return k != NULL && imap_char(p->in, ')')
			       ? k
			       : fail(p, "unbalanced ( )");
	}
	if (p->in->rest.len > 0 &&
		(ascii_is_digit(p->in->rest.ptr[0]) ||
			p->in->rest.ptr[0] == '*' || p->in->rest.ptr[0] == '$'))
		return parse_set(p, K_SET);
	if (!imap_atom(p->in, &word))
		return fail(p, "a search key was expected");
	return parse_word(p, word, depth);
}

static struct search_key *parse_key(struct parser *p, unsigned depth)
{
	struct search_key *k = parse_one(p, depth);

	if (k != NULL)
		k->cost = cost_of(k);
	return k;
}

/* ---- the program ---- */

static bool charset_known(struct str name)
{
	return str_ieqc(name, "UTF-8") || str_ieqc(name, "US-ASCII");
}

static bool parse_program(
	struct imap *s, struct imap_in *in, struct search_program *p)
{
	struct parser parser = {.s = s, .in = in};

	p->key = parse_list(&parser, 0);
	p->modseq = parser.modseq;
	p->numbers = parser.numbers;
	p->bad = parser.bad;
	if (p->key != NULL && imap_end(in))
		return true;
	if (p->bad == NULL)
		p->bad = "SEARCH: unexpected text";
	return false;
}

bool search_parse(struct imap *s, struct imap_in *in, struct search_program *p)
{
	struct str name;

	*p = (struct search_program){0};
	if (imap_word(in, "CHARSET")) {
		if (!imap_space(in) || !imap_astring(in, &name) ||
			!imap_space(in)) {
			p->bad = "CHARSET needs a name";
			return false;
		}
		p->badcharset = !charset_known(name);
		if (p->badcharset)
			return false;
	}
	return parse_program(s, in, p);
}

bool search_parse_charset(
	struct imap *s, struct imap_in *in, struct search_program *p)
{
	struct str name;

	*p = (struct search_program){0};
	if (!imap_astring(in, &name) || !imap_space(in)) {
		p->bad = "a charset is missing";
		return false;
	}
	p->badcharset = !charset_known(name);
	return !p->badcharset && parse_program(s, in, p);
}

void search_refuse(struct imap *s, const struct search_program *p)
{
	if (p->badcharset)
		imap_no(s, "[BADCHARSET (UTF-8 US-ASCII)] unknown charset");
	else
		imap_bad(s, p->bad);
}
