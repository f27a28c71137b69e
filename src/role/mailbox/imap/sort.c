/* SPDX-License-Identifier: ISC */
/* SORT: RFC 5256 3, RFC 5267 (RETURN), RFC 5957 (DISPLAY) */
#include "role/mailbox/imap/context.h"

enum { CRITERIA_MAX = 16 };

enum criterion {
	BY_ARRIVAL,
	BY_SIZE,
	BY_DATE,
	BY_SUBJECT, /* from here on as enum fact_text */
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

struct entry {
	uint32_t number; /* what is told */
	uint32_t uid;
	uint64_t modseq;
	int64_t received, sent;
	uint32_t size;
	struct fact *fact; /* where a text is asked for */
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

static bool asks(const struct order *o, enum criterion from, enum criterion to)
{
	for (size_t i = 0; i < o->n; i++)
		if (o->v[i].by >= from && o->v[i].by <= to)
			return true;
	return false;
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

/* RFC 5256 2.2: no date is the arrival */
static int64_t sent_of(struct search_candidate *c, const struct pick *p)
{
	bool dated;
	int64_t sent;
	int zone;

	if (summary_stamp_read(p->stamp, &dated, &sent, &zone))
		return dated ? sent : p->received;
	const struct fact *fact = search_fact(c);
	return fact != NULL && fact->dated ? fact->sent : p->received;
}

/* Those that match, in the order of the mailbox. */
static void collect(struct search_candidate *c, const struct search_program *p,
	const struct order *o, struct sorted *all)
{
	bool facts = asks(o, BY_SUBJECT, BY_DISPLAYTO);
	bool dates = asks(o, BY_DATE, BY_DATE);
	struct imap *s = c->s;
	struct fact *none = arena_make(s->cmd_a, struct fact);
	struct view_walk *w;
	const struct pick *pick;

	view_walk_all(s, &w);
	while ((pick = view_next(w)) != NULL) {
		if (facts || (dates && pick->stamp == 0))
			search_ahead(c, w);
		search_progress(c);
		if (!search_matches(c, p->key, pick))
			continue;
		struct fact *fact = facts ? search_fact(c) : NULL;
		*add(all, s->cmd_a) =
			(struct entry){.number = s->uid ? pick->uid : pick->seq,
				.uid = pick->uid,
				.modseq = pick->modseq,
				.received = pick->received,
				.sent = dates ? sent_of(c, pick) : 0,
				.size = pick->size,
				.fact = fact != NULL ? fact : none};
	}
}

/* ---- by one criterion after the other, the last first ---- */

static uint64_t key_of(enum criterion by, const struct entry *e)
{
	if (by >= BY_SUBJECT)
		return e->fact->rank[by - BY_SUBJECT];
	if (by == BY_SIZE)
		return e->size;
	return (uint64_t)(by == BY_DATE ? e->sent : e->received) ^ 1ull << 63;
}

static void rank_texts(struct search_candidate *c, const struct order *o,
	const struct sorted *all)
{
	struct arena *a = c->s->cmd_a;
	struct fact **v = arena_alloc(a, (all->n + 1) * sizeof(*v));

	for (size_t i = 0; i < all->n; i++)
		v[i] = all->v[i].fact;
	for (size_t i = 0; i < o->n; i++)
		if (o->v[i].by >= BY_SUBJECT)
			facts_rank(c->s->view.box->facts, v, all->n,
				(enum fact_text)(o->v[i].by - BY_SUBJECT));
}

struct keyed {
	uint64_t key;
	uint32_t at; /* of the entry */
};

/* By one octet of the key; what is equal stays as it stands. */
static void pass(
	const struct keyed *from, struct keyed *to, size_t n, unsigned shift)
{
	size_t start[257] = {0};

	for (size_t i = 0; i < n; i++)
		start[(from[i].key >> shift & 0xff) + 1]++;
	for (size_t i = 1; i < 256; i++)
		start[i] += start[i - 1];
	for (size_t i = 0; i < n; i++)
		to[start[from[i].key >> shift & 0xff]++] = from[i];
}

/* v and spare change places where it ends in the other one. */
static void order_by_key(struct keyed **v, struct keyed **spare, size_t n)
{
	uint64_t differ = 0;

	for (size_t i = 1; i < n; i++)
		differ |= (*v)[i].key ^ (*v)[0].key;
	for (unsigned shift = 0; shift < 64; shift += 8) {
		if ((differ >> shift & 0xff) == 0)
			continue;
		pass(*v, *spare, n, shift);
		struct keyed *other = *v;
		*v = *spare;
		*spare = other;
	}
}

static struct keyed *ordered(struct search_candidate *c, const struct order *o,
	const struct sorted *all)
{
	struct arena *a = c->s->cmd_a;
	struct keyed *v = arena_alloc(a, (all->n + 1) * sizeof(*v));
	struct keyed *spare = arena_alloc(a, (all->n + 1) * sizeof(*v));

	rank_texts(c, o, all);
	for (size_t i = 0; i < all->n; i++)
		v[i].at = (uint32_t)i;
	for (size_t k = o->n; k-- > 0;) {
		for (size_t i = 0; i < all->n; i++) {
			uint64_t key = key_of(o->v[k].by, &all->v[v[i].at]);

			v[i].key = o->v[k].reverse ? ~key : key;
		}
		order_by_key(&v, &spare, all->n);
	}
	return v;
}

static bool sort(struct imap *s, const struct search_program *p,
	struct order *o, struct search_found *found, struct fault *f)
{
	struct sorted all = {0};
	struct search_candidate c;

	search_ask_index(s, p);
	search_begin(&c, s, p);
	search_facts_begin(&c);
	collect(&c, p, o, &all);
	const struct keyed *v = ordered(&c, o, &all);
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
		const struct entry *e = &all.v[v[i].at];

		found->v[i] = e->number;
		found->uids[i] = e->uid;
		found->modseqs[i] = e->modseq;
		if (e->modseq > found->modseq)
			found->modseq = e->modseq;
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
		for (size_t i = 0; i < found.n; i++) {
			struct buf *out = stream_out(s->stream);

			buf_putc(out, ' ');
			buf_put_u64(out, found.v[i]);
		}
		if (p.modseq && found.n > 0) /* RFC 7162 3.1.6 */
			stream_putf(s->stream, " (MODSEQ %llu)",
				(unsigned long long)found.modseq);
		stream_puts(s->stream, "\r\n");
	}
	context_begin(s, &r, &p, text, true, &found);
	imap_ok(s, "Sort completed");
}
