/* SPDX-License-Identifier: ISC */
/* SEARCH: the command and its replies. RFC 9051 6.4.4, RFC 4731, RFC 5182 */
#include "role/mailbox/imap/context.h"
#include "role/mailbox/imap/fetch.h"

#include <stdlib.h>
#include <string.h>

#include "base/must.h"

/* ---- running ---- */

struct results {
	struct search_found *found;
	size_t cap;
	struct arena *a;
};

static void keep(struct results *r, const struct pick *p, bool uid)
{
	struct search_found *f = r->found;
	size_t caps[3] = {r->cap, r->cap, r->cap};

	f->v = arena_grown(r->a, f->v, f->n, &caps[0], sizeof(*f->v));
	f->uids = arena_grown(r->a, f->uids, f->n, &caps[1], sizeof(*f->uids));
	f->modseqs = arena_grown(
		r->a, f->modseqs, f->n, &caps[2], sizeof(*f->modseqs));
	r->cap = caps[0];
	f->v[f->n] = uid ? p->uid : p->seq;
	f->uids[f->n] = p->uid;
	f->modseqs[f->n++] = p->modseq;
	if (p->modseq > f->modseq)
		f->modseq = p->modseq;
}

bool search_run(struct imap *s, const struct search_program *p,
	struct search_found *found_r, struct fault *f)
{
	struct results r = {.found = found_r, .a = s->cmd_a};
	struct search_candidate c;
	struct view_walk *w;
	const struct pick *pick;

	*found_r = (struct search_found){0};
	search_ask_index(s, p);
	search_begin(&c, s, p);
	view_walk_all(s, &w);
	while ((pick = view_next(w)) != NULL) {
		search_summaries_ahead(&c, p, w);
		if (search_matches(&c, p->key, pick))
			keep(&r, pick, s->uid);
		search_progress(&c);
	}
	return search_end(&c, f);
}

/* ---- RETURN ---- */

static bool parse_option(
	struct imap *s, struct imap_in *in, struct search_return *r)
{
	if (imap_word(in, "CONTEXT"))
		return true; /* a hint: RFC 5267 4.2 */
	if (imap_word(in, "UPDATE")) {
		r->update = true;
		return fetch_parse_behind(s, in, &r->items);
	}
	if (imap_word(in, "MIN"))
		r->min = true;
	else if (imap_word(in, "MAX"))
		r->max = true;
	else if (imap_word(in, "ALL"))
		r->all = true;
	else if (imap_word(in, "COUNT"))
		r->count = true;
	else if (imap_word(in, "SAVE"))
		r->save = true;
	else if (imap_word(in, "PARTIAL"))
		return !r->has_partial && (r->has_partial = true) &&
		       imap_space(in) && imap_partial_parse(in, &r->partial);
	else
		return false;
	return true;
}

bool search_return_parse(
	struct imap *s, struct imap_in *in, struct search_return *r)
{
	*r = (struct search_return){0};
	if (!imap_word(in, "RETURN"))
		return true;
	r->given = true;
	if (!imap_space(in) || !imap_char(in, '('))
		return false;
	if (imap_char(in, ')')) {
		r->all = true;
		return imap_space(in);
	}
	do {
		if (!parse_option(s, in, r))
			return false;
	} while (imap_space(in));
	/* RFC 9394 3.1: PARTIAL and ALL exclude each other */
	return imap_char(in, ')') && imap_space(in) &&
	       !(r->all && r->has_partial);
}

bool search_return_asks(const struct search_return *r)
{
	return r->min || r->max || r->all || r->count || r->has_partial;
}

/* ---- SAVE ---- */

static int by_number(const void *x, const void *y)
{
	const uint32_t *a = x, *b = y;

	return *a < *b ? -1 : *a > *b;
}

void search_save_nothing(struct imap *s, const struct search_return *r)
{
	if (r->save)
		s->n_saved = 0;
}

/* RFC 5182 2.4: with MIN or MAX alone, only those */
void search_save(struct imap *s, const struct search_return *r,
	const struct search_found *f)
{
	bool ends =
		(r->min || r->max) && !r->all && !r->count && !r->has_partial;

	if (!r->save)
		return;
	free(s->saved);
	s->saved = must_alloc((f->n + 1) * sizeof(*s->saved));
	s->n_saved = 0;
	if (f->n == 0)
		return;
	memcpy(s->saved, f->uids, f->n * sizeof(*s->saved));
	s->n_saved = f->n;
	qsort(s->saved, s->n_saved, sizeof(*s->saved), by_number);
	if (!ends)
		return;
	uint32_t first = s->saved[0], last = s->saved[f->n - 1];
	s->n_saved = 0;
	if (r->min)
		s->saved[s->n_saved++] = first;
	if (r->max && (!r->min || last != first))
		s->saved[s->n_saved++] = last;
}

bool imap_set_or_saved(struct imap *s, struct imap_in *in,
	struct imap_set *set_r, bool *by_uid_r)
{
	struct imap_in probe = *in;

	*by_uid_r = s->uid;
	if (!imap_char(&probe, '$'))
		return imap_set_parse(in, set_r);
	*in = probe;
	*by_uid_r = true;
	set_r->v = arena_alloc(s->cmd_a, (s->n_saved + 1) * sizeof(*set_r->v));
	set_r->n = 0;
	for (size_t i = 0; i < s->n_saved; i++) {
		struct imap_range *last =
			set_r->n > 0 ? &set_r->v[set_r->n - 1] : NULL;

		if (last != NULL && last->last + 1 == s->saved[i])
			last->last = s->saved[i];
		else
			set_r->v[set_r->n++] =
				(struct imap_range){s->saved[i], s->saved[i]};
	}
	return true;
}

/* ---- replies ---- */

static void put_set(const uint32_t *v, size_t n, struct buf *out)
{
	struct imap_set_put put = {0};

	for (size_t i = 0; i < n; i++)
		imap_set_put(&put, v[i], out);
	imap_set_put_end(&put, out);
}

static void put_partial(const struct search_return *r,
	const struct search_found *f, struct buf *out)
{
	const struct imap_partial *p = &r->partial;
	const char *sign = p->from_end ? "-" : "";
	uint32_t *v = f->v;
	size_t n = f->n;

	imap_partial_cut(p, &v, &n);
	buf_putf(out, " PARTIAL (%s%u:%s%u ", sign, p->first, sign, p->last);
	if (n == 0)
		buf_puts(out, "NIL");
	else
		put_set(v, n, out);
	buf_putc(out, ')');
}

/* RFC 7162 3.1.10: of MIN and MAX alone, the highest of the two */
static uint64_t modseq_of(
	const struct search_return *r, const struct search_found *f)
{
	uint64_t first = f->modseqs[0], last = f->modseqs[f->n - 1];

	if (r->all || r->count || r->has_partial || !(r->min || r->max))
		return f->modseq;
	if (!r->max)
		return first;
	return !r->min || last > first ? last : first;
}

void search_put_esearch(struct imap *s, const struct search_return *r,
	const struct search_found *f, bool modseq, enum search_form form)
{
	struct buf out CLEANUP(buf_fini);
	uint32_t min = UINT32_MAX, max = 0;

	buf_init(&out, 256 << 20);
	buf_putf(&out, "* ESEARCH (TAG \"%.*s\"",
		STR_ARG(str_sub(s->tag, 0, 256)));
	if (form == FORM_ESEARCH) {
		buf_puts(&out, " MAILBOX ");
		imap_put_name(s, str_from(s->view.name), &out);
		buf_putf(&out, " UIDVALIDITY %u", s->view.uidvalidity);
	}
	buf_puts(&out, s->uid ? ") UID" : ")");
	for (size_t i = 0; i < f->n; i++) {
		min = f->v[i] < min ? f->v[i] : min;
		max = f->v[i] > max ? f->v[i] : max;
	}
	/* Of a sorted result, the first and the last. RFC 5267 3.1 */
	if (form == FORM_SORT && f->n > 0) {
		min = f->v[0];
		max = f->v[f->n - 1];
	}
	if (r->min && f->n > 0)
		buf_putf(&out, " MIN %u", min);
	if (r->max && f->n > 0)
		buf_putf(&out, " MAX %u", max);
	if (r->count)
		buf_putf(&out, " COUNT %zu", f->n);
	if (r->all && f->n > 0) {
		buf_puts(&out, " ALL ");
		put_set(f->v, f->n, &out);
	}
	if (r->has_partial)
		put_partial(r, f, &out);
	if (modseq && f->n > 0)
		buf_putf(&out, " MODSEQ %llu",
			(unsigned long long)modseq_of(r, f));
	buf_puts(&out, "\r\n");
	stream_put(s->stream, buf_str(&out));
}

static void put_search(
	struct imap *s, const struct search_found *f, bool modseq)
{
	stream_puts(s->stream, "* SEARCH");
	for (size_t i = 0; i < f->n; i++) {
		struct buf *out = stream_out(s->stream);

		buf_putc(out, ' ');
		buf_put_u64(out, f->v[i]);
	}
	if (modseq && f->n > 0)
		stream_putf(s->stream, " (MODSEQ %llu)",
			(unsigned long long)f->modseq);
	stream_puts(s->stream, "\r\n");
}

void imap_search(struct imap *s, struct imap_in *in)
{
	struct search_program p = {0};
	struct search_return r;
	struct search_found found;
	struct fault f;

	if (!search_return_parse(s, in, &r)) {
		imap_bad(s, "unknown RETURN option");
		return;
	}
	struct str text = in->rest;
	if (!context_may_begin(s, &r))
		return;
	if (!search_parse(s, in, &p)) {
		if (p.badcharset)
			search_save_nothing(s, &r);
		search_refuse(s, &p);
		return;
	}
	if (!search_run(s, &p, &found, &f)) {
		search_save_nothing(s, &r);
		imap_fault(s, &f);
		return;
	}
	search_save(s, &r, &found);
	/* RFC 9051 6.4.4: there is no SEARCH reply any more */
	if (s->rev2 && !r.given)
		r = (struct search_return){.given = true, .all = true};
	/* SAVE alone asks for nothing to be told */
	if (!r.given)
		put_search(s, &found, p.modseq);
	else if (search_return_asks(&r) || (!r.save && !r.update))
		search_put_esearch(s, &r, &found, p.modseq, FORM_SEARCH);
	context_begin(s, &r, &p, text, false, &found);
	imap_ok(s, "Search completed");
}
