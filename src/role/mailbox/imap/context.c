/* SPDX-License-Identifier: ISC */
#include "role/mailbox/imap/context.h"

#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "base/sorted.h"
#include "role/mailbox/imap/fetch.h"

enum { CONTEXTS_MAX = 10 };

struct context {
	char *tag;
	bool uid, sorted;
	char *text;
	char *items; /* UPDATE (items): RFC 5465 7; NULL: none */
	uint32_t *v; /* UIDs, in the order of the result */
	size_t n, cap;
	uint64_t modseq; /* true up to here */
};

struct imap_contexts {
	struct context v[CONTEXTS_MAX];
	size_t n;
};

static void context_free(struct context *c)
{
	free(c->tag);
	free(c->text);
	free(c->items);
	free(c->v);
}

void contexts_end(struct imap *s)
{
	struct imap_contexts *all = s->contexts;

	for (size_t i = 0; all != NULL && i < all->n; i++)
		context_free(&all->v[i]);
	free(all);
	s->contexts = NULL;
}

static struct context *find(struct imap *s, struct str tag)
{
	struct imap_contexts *all = s->contexts;

	for (size_t i = 0; all != NULL && i < all->n; i++)
		if (str_eqc(tag, all->v[i].tag))
			return &all->v[i];
	return NULL;
}

/* ---- begin and end ---- */

static void refuse_update(struct imap *s, struct str tag, const char *why)
{
	imap_untagged(s, "NO [NOUPDATE \"%.*s\"] %s",
		STR_ARG(str_sub(tag, 0, 256)), why);
}

bool context_may_begin(struct imap *s, const struct search_return *r)
{
	if (!r->update || find(s, s->tag) == NULL)
		return true;
	imap_bad(s, "the tag has a context already");
	return false;
}

void context_begin(struct imap *s, const struct search_return *r,
	const struct search_program *p, struct str text, bool sorted,
	const struct search_found *found)
{
	const char *why = p->numbers ? "not of what message numbers choose"
				     : "too many contexts";

	if (!r->update)
		return;
	if (s->contexts == NULL)
		s->contexts = must_alloc(sizeof(*s->contexts));
	if (p->numbers || s->contexts->n == CONTEXTS_MAX) {
		refuse_update(s, s->tag, why);
		return;
	}
	struct context *c = &s->contexts->v[s->contexts->n++];
	*c = (struct context){.tag = str_heap(s->tag),
		.uid = s->uid,
		.sorted = sorted,
		.text = str_heap(text),
		.items = str_present(r->items) ? str_heap(r->items) : NULL,
		.v = must_alloc((found->n + 1) * sizeof(*c->v)),
		.n = found->n,
		.cap = found->n + 1,
		.modseq = s->view.modseq};
	if (found->n > 0)
		memcpy(c->v, found->uids, found->n * sizeof(*c->v));
}

void context_cancel(struct imap *s, struct str tag)
{
	struct context *c = find(s, tag);

	if (c == NULL)
		return;
	context_free(c);
	*c = s->contexts->v[--s->contexts->n];
}

/* CANCELUPDATE "tag" ...: 4.3.5 */
void imap_cancelupdate(struct imap *s, struct imap_in *in)
{
	struct strs tags = {0};
	struct str tag;
	bool known = true;

	do {
		if (!imap_string(in, &tag)) {
			imap_bad(s, "CANCELUPDATE needs quoted tags");
			return;
		}
		known &= find(s, tag) != NULL;
		strs_add(&tags, s->cmd_a, tag);
	} while (imap_space(in));
	if (!known || !imap_end(in)) {
		imap_bad(s, "there is no such context");
		return;
	}
	for (size_t i = 0; i < tags.n; i++)
		context_cancel(s, tags.v[i]);
	imap_ok(s, "No further updates");
}

/* ---- replies ---- */

static void put_begin(
	const struct context *c, const char *what, struct buf *out)
{
	buf_putf(out, "* ESEARCH (TAG \"%s\")%s %s (", c->tag,
		c->uid ? " UID" : "", what);
}

static uint32_t number_of(struct imap *s, const struct context *c, uint32_t uid)
{
	struct pick p;

	return c->uid ? uid : view_pick(s, uid, &p) ? p.seq : 0;
}

struct change {
	uint32_t uid;
	size_t position; /* from 1; not of SEARCH */
};
struct changes {
	struct change *v;
	size_t n, cap;
};

static void add(
	struct imap *s, struct changes *l, uint32_t uid, size_t position)
{
	l->v = arena_grown(s->cmd_a, l->v, l->n, &l->cap, sizeof(*l->v));
	l->v[l->n++] = (struct change){uid, position};
}

/* SEARCH: "(0 set)".  SORT: "(position number position number ...)" */
static void put_changes(struct imap *s, const struct context *c,
	const char *what, const struct changes *l)
{
	struct imap_set_put put = {0};
	struct buf out CLEANUP(buf_fini);

	if (l->n == 0)
		return;
	buf_init(&out, 64 << 20);
	put_begin(c, what, &out);
	if (!c->sorted)
		buf_puts(&out, "0 ");
	for (size_t i = 0; i < l->n; i++) {
		uint32_t n = number_of(s, c, l->v[i].uid);

		if (c->sorted)
			buf_putf(&out, "%s%zu %u", i > 0 ? " " : "",
				l->v[i].position, n);
		else
			imap_set_put(&put, n, &out);
	}
	imap_set_put_end(&put, &out);
	buf_puts(&out, ")\r\n");
	stream_put(s->stream, buf_str(&out));
}

/* ---- what ended ---- */

/* Positions from the last to the first; each that stays moves once. */
static void remove_all(struct context *c, const struct changes *l)
{
	size_t left = l->n;
	size_t to = left > 0 ? l->v[left - 1].position - 1 : c->n;

	for (size_t i = to; i < c->n; i++)
		if (left > 0 && l->v[left - 1].position == i + 1)
			left--;
		else
			c->v[to++] = c->v[i];
	c->n = to;
}

/* Positions as they are afterwards, ascending. */
static void insert_all(struct context *c, const struct changes *l)
{
	size_t left = l->n, from = c->n, to = c->n + l->n;

	if (to > c->cap) {
		c->cap = to * 2;
		c->v = must_realloc(c->v, c->cap * sizeof(*c->v));
	}
	c->n = to;
	for (; left > 0; to--)
		if (l->v[left - 1].position == to)
			c->v[to - 1] = l->v[--left].uid;
		else
			c->v[to - 1] = c->v[--from];
}

static int by_uid(const void *a, const void *b)
{
	const struct change *x = a, *y = b;

	return (x->uid > y->uid) - (x->uid < y->uid);
}

/* From the last to the first, so that each position is still true; of a
 * SEARCH, the positions do not matter and the set is told in order. */
static void take_out(struct imap *s, struct context *c, struct changes *l)
{
	remove_all(c, l);
	if (!c->sorted && l->n > 0)
		qsort(l->v, l->n, sizeof(*l->v), by_uid);
	put_changes(s, c, "REMOVEFROM", l);
}

void contexts_remove_gone(struct imap *s)
{
	struct imap_contexts *all = s->contexts;
	struct fault f;
	struct pick p;

	if (all == NULL || all->n == 0 || !view_refresh(s, &f))
		return;
	for (size_t k = 0; k < all->n; k++) {
		struct context *c = &all->v[k];
		struct changes gone = {0};

		for (size_t i = c->n; i > 0; i--)
			if (!view_pick(s, c->v[i - 1], &p) ||
				(p.flags & ROW_GONE) != 0)
				add(s, &gone, c->v[i - 1], i);
		take_out(s, c, &gone);
	}
}

/* ---- what was changed, and what came ---- */

static bool has(const struct context *c, uint32_t uid)
{
	return sorted_find(&uid, c->v, c->n, sizeof(*c->v), sorted_by_u32) !=
	       NULL;
}

static size_t place_of(const struct context *c, uint32_t uid)
{
	return sorted_lower(&uid, c->v, c->n, sizeof(*c->v), sorted_by_u32);
}

/* Only what has a MODSEQ since. */
static bool search_changed(struct imap *s, struct context *c,
	struct changes *out, struct changes *in, struct fault *f)
{
	struct imap_in text = {
		.rest = str_from(c->text), .a = s->cmd_a, .utf8 = s->utf8};
	struct search_program p = {0};
	struct search_candidate one;
	struct view_walk *w;
	const struct pick *pick;
	bool uid = s->uid;

	s->uid = c->uid;
	bool ok = search_parse(s, &text, &p);
	s->uid = uid;
	if (!ok)
		return true; /* it did once: a charset cannot go */
	search_ask_index(s, &p);
	search_begin(&one, s, &p);
	view_walk_all(s, &w);
	while ((pick = view_next(w)) != NULL) {
		if (pick->modseq <= c->modseq || (pick->flags & ROW_GONE) != 0)
			continue;
		bool had = has(c, pick->uid);
		bool now = search_matches(&one, p.key, pick);
		if (had && !now)
			add(s, out, pick->uid, place_of(c, pick->uid) + 1);
		if (!had && now)
			add(s, in, pick->uid, 0);
	}
	return search_end(&one, f);
}

static void reverse(struct changes *l)
{
	for (size_t i = 0; i < l->n / 2; i++) {
		struct change one = l->v[i];

		l->v[i] = l->v[l->n - 1 - i];
		l->v[l->n - 1 - i] = one;
	}
}

static bool update_search(
	struct imap *s, struct context *c, struct changes *in, struct fault *f)
{
	struct changes out = {0};

	if (!search_changed(s, c, &out, in, f))
		return false;
	reverse(&out);
	take_out(s, c, &out);
	struct changes at = {0};
	for (size_t i = 0; i < in->n; i++)
		add(s, &at, in->v[i].uid, place_of(c, in->v[i].uid) + i + 1);
	insert_all(c, &at);
	return true;
}

static uint32_t *sorted_copy(struct imap *s, const uint32_t *v, size_t n)
{
	uint32_t *copy = arena_alloc(s->cmd_a, (n + 1) * sizeof(*copy));

	if (n > 0) {
		memcpy(copy, v, n * sizeof(*copy));
		qsort(copy, n, sizeof(*copy), sorted_by_u32);
	}
	return copy;
}

static bool is_among(const uint32_t *sorted, size_t n, uint32_t uid)
{
	return sorted_find(&uid, sorted, n, sizeof(uid), sorted_by_u32) != NULL;
}

static bool update_sort(
	struct imap *s, struct context *c, struct changes *in, struct fault *f)
{
	struct changes out = {0};
	struct search_found now;
	bool uid = s->uid;

	s->uid = c->uid;
	bool ok = sort_again(s, str_from(c->text), &now, f);
	s->uid = uid;
	if (!ok)
		return false;
	uint32_t *old = sorted_copy(s, c->v, c->n);
	uint32_t *fresh = sorted_copy(s, now.uids, now.n);
	size_t n_old = c->n;
	for (size_t i = c->n; i > 0; i--)
		if (!is_among(fresh, now.n, c->v[i - 1]))
			add(s, &out, c->v[i - 1], i);
	take_out(s, c, &out);
	for (size_t i = 0; i < now.n; i++)
		if (!is_among(old, n_old, now.uids[i]) && i <= c->n + in->n)
			add(s, in, now.uids[i], i + 1);
	insert_all(c, in);
	return true;
}

/* RFC 5465 7: of what came, not of what flags brought in */
static void fetch_items(struct imap *s, const struct context *c,
	const struct changes *in, uint32_t newest)
{
	uint32_t *uids = arena_alloc(s->cmd_a, (in->n + 1) * sizeof(*uids));
	size_t n = 0;

	for (size_t i = 0; i < in->n; i++)
		if (in->v[i].uid > newest)
			uids[n++] = in->v[i].uid;
	if (c->items != NULL && n > 0)
		fetch_unasked(s, str_from(c->items), uids, n);
}

/* What cannot be kept true ends, and the client hears it. */
static void end_untrue(
	struct imap *s, const struct context *c, const struct fault *f)
{
	struct str tag = arena_str(s->cmd_a, str_from(c->tag));

	log_error("store", log_s("login", s->login), log_fault(f));
	refuse_update(s, tag, "the mailbox cannot be read now");
	context_cancel(s, tag);
}

void contexts_update(struct imap *s, uint32_t newest)
{
	struct imap_contexts *all = s->contexts;
	struct fault f;

	if (all == NULL || s->closing || s->view.box == NULL ||
		!view_refresh(s, &f))
		return;
	/* Backwards: one that ends makes room for the last. */
	for (size_t k = all->n; k > 0; k--) {
		struct context *c = &all->v[k - 1];
		struct changes in = {0};

		if (c->modseq >= s->view.modseq)
			continue;
		if (!(c->sorted ? update_sort : update_search)(s, c, &in, &f)) {
			end_untrue(s, c, &f);
			continue;
		}
		c->modseq = s->view.modseq;
		fetch_items(s, c, &in, newest);
		put_changes(s, c, "ADDTO", &in);
	}
}
