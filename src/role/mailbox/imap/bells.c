/* SPDX-License-Identifier: ISC */
/* Where a quiet session listens: IDLE, and NOTIFY of RFC 5465. */
#include <stdlib.h>

#include "base/must.h"
#include "role/mailbox/imap/notify.h"

struct accounts {
	int64_t *v;
	size_t n, cap;
	struct arena *a;
};

static void add(struct accounts *l, int64_t account)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i] == account)
			return;
	l->v = arena_grown(l->a, l->v, l->n, &l->cap, sizeof(*l->v));
	l->v[l->n++] = account;
}

/* Its own, whose mailbox is selected, and whose it can see where it asked. */
static void collect(struct imap *s, struct accounts *l)
{
	const struct imap_notify *n = s->notify;

	add(l, s->view.box != NULL && n == NULL ? s->view.box->account
						: s->account);
	if (s->view.box != NULL)
		add(l, s->view.box->account);
	for (size_t i = 0; n != NULL && i < n->last.n; i++)
		if (n->last.v[i].id != 0)
			add(l, n->last.v[i].account);
}

static bool hangs(const struct imap *s, const struct accounts *l)
{
	if (l->n != s->n_bells)
		return false;
	for (size_t i = 0; i < l->n; i++)
		if (s->bells[i].account != l->v[i])
			return false;
	return true;
}

static void drop(struct imap *s, struct bell *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		bells_remove(s->sv->m->bells, &v[i]);
	free(v);
}

void imap_drop_bells(struct imap *s)
{
	drop(s, s->bells, s->n_bells);
	s->bells = NULL;
	s->n_bells = 0;
}

void imap_hang_bells(struct imap *s)
{
	struct accounts l = {.a = s->cmd_a};
	struct bell *old = s->bells;
	size_t n_old = s->n_bells;

	collect(s, &l);
	if (hangs(s, &l))
		return;
	s->bells = must_alloc(l.n * sizeof(*s->bells));
	s->n_bells = l.n;
	for (size_t i = 0; i < l.n; i++) {
		s->bells[i] =
			(struct bell){.account = l.v[i], .seat = &s->seat};
		bells_add(s->sv->m->bells, &s->bells[i]);
	}
	/* The new ones first: no ring falls in between.  What happened there
	 * before is looked for once more. */
	drop(s, old, n_old);
	if (s->notify != NULL)
		crew_ring(&s->seat);
}
