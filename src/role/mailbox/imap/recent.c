/* SPDX-License-Identifier: ISC */
#include "role/mailbox/imap/recent.h"

#include <stdlib.h>

#include "base/must.h"
#include "role/mailbox/imap/imap.h"

bool recent_has(const struct recent *r, uint32_t uid)
{
	/* From the end: what is asked about is mostly new. */
	for (size_t i = r->n; i > 0; i--)
		if (uid >= r->v[i - 1].first)
			return uid <= r->v[i - 1].last;
	return false;
}

static void add(struct recent *r, uint32_t first, uint32_t last)
{
	if (r->n > 0 && r->v[r->n - 1].last + 1 >= first) {
		if (r->v[r->n - 1].last < last)
			r->v[r->n - 1].last = last;
		return;
	}
	if (r->n == r->cap) {
		r->cap = r->cap > 0 ? r->cap * 2 : 1;
		r->v = must_realloc(r->v, r->cap * sizeof(*r->v));
	}
	r->v[r->n++] = (struct recent_range){first, last};
}

uint32_t recent_take(struct imap *s, uint32_t from, uint32_t next)
{
	struct view *v = &s->view;
	uint32_t told =
		v->read_only ? box_told(v->box) : box_tell(v->box, next);

	if (from < told)
		from = told;
	if (from >= next || s->rev2)
		return next;
	add(&v->recent, from, next - 1);
	return from;
}

struct counting {
	uint32_t below;
	uint64_t n;
};

static bool count_row(const struct store_row *row, void *ctx)
{
	struct counting *c = ctx;

	c->n += row->uid < c->below;
	return row->uid < c->below;
}

bool recent_open(
	struct imap *s, const struct store_mailbox *box, struct fault *f)
{
	struct view *v = &s->view;
	struct counting c = {.below = box->uidnext};

	box_tell_stored(v->box, box->told_below);
	uint32_t from = recent_take(s, 1, box->uidnext);
	if (from >= box->uidnext)
		return true;
	if (!store_rows(s->sv->m->store, v->box->account, box->id, 0, from,
		    count_row, &c, f))
		return false;
	v->recent.count = c.n;
	return true;
}

void recent_gone(struct view *v, uint32_t uid)
{
	if (v->recent.count > 0 && recent_has(&v->recent, uid))
		v->recent.count--;
}

void recent_close(struct imap *s)
{
	struct view *v = &s->view;
	struct fault f;
	uint32_t told;

	if (!v->read_only && box_tell_unstored(v->box, &told) &&
		!store_change_mailbox(s->sv->m->store, v->box->account,
			&(struct store_change){.kind = STORE_TOLD,
				.mailbox = v->box->mailbox,
				.below = told},
			&f))
		log_error("store", log_s("login", s->login), log_fault(&f));
	free(v->recent.v);
}

bool recent_count(struct imap *s, int64_t account,
	const struct store_mailbox *box, uint64_t *n_r, struct fault *f)
{
	struct counting c = {.below = UINT32_MAX};
	uint32_t told = boxes_told(s->sv->m->boxes, account, box->id);

	if (told < box->told_below)
		told = box->told_below;
	bool ok = told >= box->uidnext ||
		  store_rows(s->sv->m->store, account, box->id, 0, told,
			  count_row, &c, f);
	*n_r = c.n;
	return ok;
}
