/* SPDX-License-Identifier: ISC */
/* SORT: RFC 5256 3, RFC 5267 (RETURN), RFC 5957 (DISPLAY) */
#include <stdlib.h>
#include <string.h>

#include "role/mailbox/imap/context.h"

enum { CRITERIA_MAX = 16 };

enum criterion {
	BY_ARRIVAL,
	BY_SIZE,
	BY_DATE,
	BY_SUBJECT,
	BY_FROM,
	BY_TO,
	BY_CC,
	BY_DISPLAYFROM,
	BY_DISPLAYTO
};

static const char *const names[] = {"ARRIVAL", "SIZE", "DATE", "SUBJECT",
	"FROM", "TO", "CC", "DISPLAYFROM", "DISPLAYTO"};

struct order {
	struct {
		enum criterion by;
		bool reverse;
	} v[CRITERIA_MAX];
	size_t n;
};

union value {
	int64_t number;
	struct str text;
};

struct entry {
	uint32_t number; /* what is told */
	uint32_t uid;
	uint32_t seq;
	uint64_t modseq;
	union value *values; /* one each criterion */
};

static bool parse_order(struct imap_in *in, struct order *o)
{
	if (!imap_char(in, '('))
		return false;
	do {
		bool reverse = imap_word(in, "REVERSE");
		size_t i = 0;

		if ((reverse && !imap_space(in)) || o->n == CRITERIA_MAX)
			return false;
		while (i < ARRAY_LEN(names) && !imap_word(in, names[i]))
			i++;
		if (i == ARRAY_LEN(names))
			return false;
		o->v[o->n].by = (enum criterion)i;
		o->v[o->n++].reverse = reverse;
	} while (imap_space(in));
	return imap_char(in, ')') && imap_space(in);
}

static struct str text_of(enum criterion by, const struct fact *fact)
{
	static const struct fact none = {.subject = {"", 0}};
	const struct fact *f = fact != NULL ? fact : &none;

	if (by == BY_SUBJECT)
		return f->subject;
	if (by == BY_DISPLAYFROM || by == BY_DISPLAYTO)
		return by == BY_DISPLAYTO ? f->display_to : f->display_from;
	return by == BY_FROM ? f->from : by == BY_TO ? f->to : f->cc;
}

static void fill_values(struct search_candidate *c, const struct order *o,
	const struct pick *p, struct entry *e)
{
	const struct fact *fact = NULL;

	for (size_t i = 0; i < o->n && fact == NULL; i++)
		if (o->v[i].by >= BY_DATE)
			fact = search_fact(c);
	for (size_t i = 0; i < o->n; i++) {
		union value *v = &e->values[i];
		enum criterion by = o->v[i].by;

		if (by >= BY_SUBJECT)
			v->text = text_of(by, fact);
		else if (by == BY_SIZE)
			v->number = p->size;
		else /* RFC 5256 2.2: no date is the arrival */
			v->number = by == BY_DATE && fact != NULL && fact->dated
					    ? fact->sent
					    : p->received;
	}
}

static int compare(const void *x, const void *y, void *ctx)
{
	const struct entry *a = x, *b = y;
	const struct order *o = ctx;

	for (size_t i = 0; i < o->n; i++) {
		const union value *v = &a->values[i], *w = &b->values[i];
		int r = o->v[i].by >= BY_SUBJECT
				? str_cmp(v->text, w->text)
				: (v->number > w->number) -
					  (v->number < w->number);

		if (r != 0)
			return o->v[i].reverse ? -r : r;
	}
	return (a->seq > b->seq) - (a->seq < b->seq);
}

struct sorted {
	struct entry *v;
	size_t n, cap;
};

static struct entry *add(struct sorted *s, struct arena *a)
{
	s->v = arena_grown(a, s->v, s->n, &s->cap, sizeof(*s->v));
	return &s->v[s->n++];
}

static bool sort(struct imap *s, const struct search_program *p,
	struct order *o, struct search_found *found, struct fault *f)
{
	struct sorted all = {0};
	struct search_candidate c;
	struct view_walk *w;
	const struct pick *pick;

	search_ask_index(s, p);
	search_begin(&c, s);
	search_facts_begin(&c);
	view_walk_all(s, &w);
	while ((pick = view_next(w)) != NULL) {
		search_ahead(&c, w);
		search_progress(&c);
		if (!search_matches(&c, p->key, pick))
			continue;
		struct entry *e = add(&all, s->cmd_a);
		*e = (struct entry){.number = s->uid ? pick->uid : pick->seq,
			.uid = pick->uid,
			.seq = pick->seq,
			.modseq = pick->modseq,
			.values = arena_alloc(
				s->cmd_a, o->n * sizeof(union value))};
		fill_values(&c, o, pick, e);
	}
	if (all.n > 0)
		qsort_r(all.v, all.n, sizeof(*all.v), compare, o);
	search_facts_end(&c);
	if (!search_end(&c, f))
		return false;
	*found = (struct search_found){
		.v = arena_alloc(s->cmd_a, (all.n + 1) * sizeof(uint32_t)),
		.uids = arena_alloc(s->cmd_a, (all.n + 1) * sizeof(uint32_t)),
		.modseqs =
			arena_alloc(s->cmd_a, (all.n + 1) * sizeof(uint64_t)),
		.n = all.n};
	for (size_t i = 0; i < all.n; i++) {
		found->v[i] = all.v[i].number;
		found->uids[i] = all.v[i].uid;
		found->modseqs[i] = all.v[i].modseq;
		if (all.v[i].modseq > found->modseq)
			found->modseq = all.v[i].modseq;
	}
	return true;
}

bool sort_again(struct imap *s, struct str text, struct search_found *found,
	struct fault *f)
{
	struct imap_in in = {.rest = text, .a = s->cmd_a, .utf8 = s->utf8};
	struct search_program p = {0};
	struct order o = {0};

	*found = (struct search_found){0};
	return (parse_order(&in, &o) && search_parse_charset(s, &in, &p))
		       ? sort(s, &p, &o, found, f)
		       : fault_set(f, FAULT_TEMP, 451, 3, 0,
				 "a context does not read");
}

void imap_sort(struct imap *s, struct imap_in *in)
{
	struct search_program p = {0};
	struct search_return r;
	struct search_found found;
	struct order o = {0};
	struct fault f;

	if (!search_return_parse(s, in, &r)) {
		imap_bad(s, "unknown RETURN option");
		return;
	}
	struct str text = in->rest;
	if (!context_may_begin(s, &r))
		return;
	if (!parse_order(in, &o)) {
		imap_bad(s, "SORT needs (criteria) charset keys");
		return;
	}
	if (!search_parse_charset(s, in, &p)) {
		if (p.badcharset)
			search_save_nothing(s, &r);
		search_refuse(s, &p);
		return;
	}
	if (!sort(s, &p, &o, &found, &f)) {
		search_save_nothing(s, &r);
		imap_fault(s, &f);
		return;
	}
	search_save(s, &r, &found);
	if (r.given) {
		if (search_return_asks(&r) || (!r.save && !r.update))
			search_put_esearch(s, &r, &found, p.modseq, FORM_SORT);
	} else {
		stream_puts(s->stream, "* SORT");
		for (size_t i = 0; i < found.n; i++)
			stream_putf(s->stream, " %u", found.v[i]);
		if (p.modseq && found.n > 0) /* RFC 7162 3.1.6 */
			stream_putf(s->stream, " (MODSEQ %llu)",
				(unsigned long long)found.modseq);
		stream_puts(s->stream, "\r\n");
	}
	context_begin(s, &r, &p, text, true, &found);
	imap_ok(s, "Sort completed");
}
