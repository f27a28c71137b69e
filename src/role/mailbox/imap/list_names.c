/* SPDX-License-Identifier: ISC */
#include "role/mailbox/imap/list_names.h"

#include <stdlib.h>
#include <string.h>

#include "base/sorted.h"
#include "role/mailbox/imap/imap.h"

static int name_of_box(const void *name, const void *box)
{
	return str_cmp(*(const struct str *)name,
		((const struct imap_place *)box)->box.name);
}

size_t list_names_below(
	const struct list_names *l, struct str name, struct arena *a)
{
	struct str first = arena_concat(a, name, STR("/"));

	return sorted_lower(&first, l->v, l->n, sizeof(*l->v), name_of_box);
}

bool list_name_is_below(struct str name, struct str parent)
{
	return name.len > parent.len && name.ptr[parent.len] == '/' &&
	       str_eq(str_sub(name, 0, parent.len), parent);
}

bool list_names_has_mailbox(
	const struct list_names *l, size_t from, struct str name)
{
	for (size_t i = from;
		i < l->n && list_name_is_below(l->v[i].box.name, name); i++)
		if (l->v[i].box.id != 0)
			return true;
	return false;
}

/* ---- names that are no mailbox ---- */

struct adding {
	const struct list_names *known; /* by name */
	struct list_names all;
	size_t cap;
	struct arena *a;
};

static bool is_known(const struct list_names *l, struct str name)
{
	return sorted_find(&name, l->v, l->n, sizeof(*l->v), name_of_box) !=
	       NULL;
}

static void add(struct adding *x, struct imap_place p)
{
	x->all.v = arena_grown(
		x->a, x->all.v, x->all.n, &x->cap, sizeof(*x->all.v));
	x->all.v[x->all.n++] = p;
}

static void add_parents(struct adding *x, struct str name)
{
	for (size_t i = 1; i < name.len; i++) {
		struct str parent = str_sub(name, 0, i);

		if (name.ptr[i] == '/' && !is_known(x->known, parent))
			add(x, (struct imap_place){.box.name = parent});
	}
}

/* Of the same name: what is subscribed first. */
static int by_name(const void *va, const void *vb)
{
	const struct imap_place *a = va, *b = vb;
	int r = str_cmp(a->box.name, b->box.name);

	return r != 0 ? r : b->box.subscribed - a->box.subscribed;
}

static void sort_and_unite(struct list_names *l)
{
	size_t n = 0;

	qsort(l->v, l->n, sizeof(*l->v), by_name);
	for (size_t i = 0; i < l->n; i++)
		if (n == 0 || !str_eq(l->v[n - 1].box.name, l->v[i].box.name))
			l->v[n++] = l->v[i];
	l->n = n;
}

static void add_gone(
	const struct strs *subscriptions, struct list_names *l, struct arena *a)
{
	struct adding x = {.known = l, .a = a};

	for (size_t i = 0; i < subscriptions->n; i++)
		if (!is_known(l, subscriptions->v[i])) {
			add(&x, (struct imap_place){
					.box.name = subscriptions->v[i],
					.box.subscribed = true});
			add_parents(&x, subscriptions->v[i]);
		}
	for (size_t i = 0; i < l->n; i++)
		add_parents(&x, l->v[i].box.name);
	if (x.all.n == 0)
		return;
	for (size_t i = 0; i < l->n; i++)
		add(&x, l->v[i]);
	sort_and_unite(&x.all);
	*l = x.all;
}

/* The session's own come first where a name is both. */
static bool add_others(struct imap *s, const struct strs *subscribed,
	struct list_names *l, struct fault *f)
{
	struct imap_places others;
	struct adding x = {.known = l, .a = s->cmd_a};

	if (!imap_places_of_others(s, &others, f))
		return false;
	if (others.n == 0)
		return true;
	for (size_t i = 0; i < l->n; i++)
		add(&x, l->v[i]);
	for (size_t i = 0; i < others.n; i++) {
		struct imap_place *p = &others.v[i];

		p->box.subscribed = strs_has(subscribed, p->box.name);
		if (!is_known(l, p->box.name))
			add(&x, *p);
	}
	qsort(x.all.v, x.all.n, sizeof(*x.all.v), by_name);
	*l = x.all;
	return true;
}

bool list_names_read(struct imap *s, bool subscribed, struct list_names *l_r,
	struct fault *f)
{
	struct strs names = {0};
	struct store_mailbox *own;

	if (!store_mailboxes(s->sv->m->store, s->account, s->cmd_a, &own,
		    &l_r->n, &names, f))
		return false;
	l_r->v = arena_alloc(s->cmd_a, (l_r->n + 1) * sizeof(*l_r->v));
	for (size_t i = 0; i < l_r->n; i++)
		l_r->v[i] = (struct imap_place){.box = own[i],
			.account = s->account,
			.owner = s->login,
			.name = own[i].name,
			.rights = RIGHTS_ALL};
	if (!add_others(s, &names, l_r, f))
		return false;
	if (!subscribed)
		names.n = 0;
	add_gone(&names, l_r, s->cmd_a);
	return true;
}
