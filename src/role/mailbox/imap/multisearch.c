/* SPDX-License-Identifier: ISC */
/* ESEARCH: RFC 7377, a search in several mailboxes. */
#include <stdlib.h>

#include "base/must.h"
#include "role/mailbox/imap/context.h"
#include "role/mailbox/imap/filter.h"
#include "role/mailbox/imap/list_names.h"

enum { FILTERS_MAX = 100 };

struct sources {
	struct imap_filter v[FILTERS_MAX];
	size_t n;
	bool selected, others;
};

/* "IN (filter filter ...)" */
static bool parse_sources(struct imap_in *in, struct sources *x)
{
	if (!imap_word(in, "IN")) {
		x->selected = true;
		return true;
	}
	if (!imap_space(in) || !imap_char(in, '('))
		return false;
	do {
		struct imap_filter *f = &x->v[x->n];

		if (x->n == FILTERS_MAX || !imap_filter_parse(in, f) ||
			f->kind == FILTER_SELECTED_DELAYED)
			return false;
		x->selected |= f->kind == FILTER_SELECTED;
		if (f->kind != FILTER_SELECTED) {
			x->others = true;
			x->n++;
		}
	} while (imap_space(in));
	return imap_char(in, ')') && imap_space(in);
}

static bool is_meant(const struct imap *s, const struct sources *x,
	const struct imap_place *p)
{
	for (size_t i = 0; i < x->n; i++)
		if (imap_filter_matches(s, &x->v[i], p->account, p->box.name,
			    p->box.subscribed))
			return true;
	return false;
}

static bool is_open(const struct imap *s, const struct imap_place *p)
{
	const struct box *open = s->view.box;

	return open != NULL && open->account == p->account &&
	       open->mailbox == p->box.id;
}

/* ---- one mailbox ---- */

static bool search_in(struct imap *s, struct imap_in in,
	const struct search_return *r, struct fault *f)
{
	struct search_program p = {0};
	struct search_found found;
	struct str text = in.rest;

	if (!view_refresh(s, f))
		return f->class == FAULT_PERM; /* deleted meanwhile */
	/* Read for each: what the index says of a key is of one mailbox. */
	search_parse(s, &in, &p);
	if (!search_run(s, &p, &found, f))
		return false;
	search_save(s, r, &found);
	if (!s->aside)
		context_begin(s, r, &p, text, false, &found);
	/* RFC 7377 2.1: where nothing is found, nothing is said. */
	if (found.n > 0 && search_return_asks(r))
		search_put_esearch(s, r, &found, p.modseq, FORM_ESEARCH);
	return true;
}

/* The search's own view, beside what the session has selected. */
static bool search_beside(struct imap *s, struct imap_place *p,
	struct imap_in in, const struct search_return *r, struct fault *f)
{
	struct imap *other = must_alloc(sizeof(*other));
	bool found, ok;

	other->sv = s->sv;
	other->stream = s->stream;
	other->a = s->a;
	other->cmd_a = s->cmd_a;
	other->login = s->login;
	other->account = s->account;
	other->tag = s->tag;
	other->utf8 = s->utf8;
	other->uidonly = s->uidonly;
	other->uid = other->aside = true;
	ok = view_open(other, p, true, &found, f);
	if (ok && found)
		ok = search_in(other, in, r, f);
	view_close(other);
	free(other);
	return ok;
}

static bool search_others(struct imap *s, const struct sources *x,
	struct imap_in in, const struct search_return *r, struct fault *f)
{
	struct list_names l;

	if (!list_names_read(s, true, &l, f))
		return false;
	for (size_t i = 0; i < l.n; i++) {
		struct imap_place *p = &l.v[i];

		if (p->box.id == 0 || (p->rights & RIGHT_READ) == 0 ||
			!is_meant(s, x, p) || (x->selected && is_open(s, p)))
			continue;
		if (!search_beside(s, p, in, r, f))
			return false;
	}
	return true;
}

/* ---- the command ---- */

/* False: answered. */
static bool read_command(struct imap *s, struct imap_in *in, struct sources *x,
	struct search_return *r)
{
	struct search_program dry = {0};
	struct imap_in program;

	if (!parse_sources(in, x) || !search_return_parse(s, in, r)) {
		imap_bad(s, "ESEARCH [IN (mailboxes)] [RETURN (...)] keys");
		return false;
	}
	if (x->selected && s->view.box == NULL) {
		imap_bad(s, "no mailbox is selected");
		return false;
	}
	if (r->save && x->others) {
		imap_bad(s, "SAVE is of the selected mailbox alone");
		return false;
	}
	/* RFC 7377 2.2: of the selected one only */
	if (r->update && s->view.box == NULL) {
		imap_bad(s, "UPDATE is of the selected mailbox");
		return false;
	}
	if (!context_may_begin(s, r))
		return false;
	if (!search_return_asks(r) && !r->save && !r->update)
		r->all = true;
	program = *in;
	if (search_parse(s, &program, &dry))
		return true;
	search_refuse(s, &dry);
	return false;
}

void imap_esearch(struct imap *s, struct imap_in *in)
{
	struct sources *x = arena_make(s->cmd_a, struct sources);
	struct search_return r;
	struct fault f;

	s->uid = true; /* RFC 7377 2.1 */
	if (!read_command(s, in, x, &r))
		return;
	if ((x->selected && !search_in(s, *in, &r, &f)) ||
		(x->others && !search_others(s, x, *in, &r, &f))) {
		search_save_nothing(s, &r);
		if (r.update)
			context_cancel(s, s->tag);
		imap_fault(s, &f);
		return;
	}
	imap_ok(s, "Search completed");
}
