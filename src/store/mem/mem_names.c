/* SPDX-License-Identifier: ISC */
/* Mailboxes by name, in memory: what there is, CREATE, DELETE, RENAME. */
#include <stdlib.h>
#include <string.h>

#include "store/mem/mem.h"

static struct store_mailbox told(
	const struct mem_account *a, const struct mem_box *b)
{
	struct store_mailbox m = b->m;

	m.subscribed = mem_entry(&a->subscriptions, m.name) != NULL;
	return m;
}

bool store_mailboxes(struct store *s, int64_t account, struct arena *arena,
	struct store_mailbox **v_r, size_t *n_r, struct strs *subscribed_r,
	struct fault *f UNUSED)
{
	const struct mem_account *a = mem_enter(s, account, true);

	*n_r = a->n;
	*v_r = arena_alloc(arena, (a->n + 1) * sizeof(**v_r));
	for (size_t i = 0; i < a->n; i++) {
		(*v_r)[i] = told(a, a->boxes[i]);
		(*v_r)[i].name = arena_str(arena, (*v_r)[i].name);
	}
	if (subscribed_r != NULL)
		mem_names(&a->subscriptions, arena, subscribed_r);
	mem_leave(s);
	return true;
}

static void find_unseen(const struct mem_box *b, struct store_mailbox *m)
{
	for (size_t i = 0; i < b->n; i++) {
		const struct mem_row *r = &b->rows[i];

		if (r->ended != 0)
			continue;
		if ((r->flags & FLAG_SEEN) == 0) {
			m->first_unseen = r->uid;
			return;
		}
		m->before_unseen++;
	}
}

static uint64_t deleted_bytes(const struct mem_box *b)
{
	uint64_t n = 0;

	for (size_t i = 0; i < b->n; i++)
		if (b->rows[i].ended == 0 &&
			(b->rows[i].flags & FLAG_DELETED) != 0)
			n += mem_size(&b->rows[i]);
	return n;
}

static struct store_mailbox together(const struct mem_account *a)
{
	struct store_mailbox all = {0};

	for (size_t i = 0; i < a->n; i++) {
		all.bytes += a->boxes[i]->m.bytes;
		all.n_exists += a->boxes[i]->m.n_exists;
	}
	return all;
}

bool store_mailbox(struct store *s, int64_t account, struct store_which which,
	struct store_mailbox *box_r, struct fault *f)
{
	bool named = which.id == 0 && str_present(which.name);
	const struct mem_account *a = mem_enter(s, account, named);
	const struct mem_box *b = which.id != 0 ? mem_box(a, which.id)
				  : named       ? mem_named(a, which.name)
						: NULL;

	*box_r = b != NULL                 ? told(a, b)
		 : which.id == 0 && !named ? together(a)
					   : (struct store_mailbox){0};
	if (b != NULL && (which.also & STORE_FIRST_UNSEEN) != 0)
		find_unseen(b, box_r);
	if (b != NULL && (which.also & STORE_DELETED_BYTES) != 0)
		box_r->deleted_bytes = deleted_bytes(b);
	mem_leave(s);
	box_r->name = named && b != NULL ? which.name : STR_NONE;
	return which.id == 0 || b != NULL ||
	       fault_set(f, FAULT_PERM, 0, 0, 2, "the mailbox is gone");
}

/* ---- changes ---- */

struct change {
	struct store *s;
	struct mem_account *a;
	const struct store_change *x;
	struct arena *arena;
};

static bool role_is_free(const struct change *c, struct fault *f)
{
	for (size_t i = 0; c->x->role != ROLE_NONE && i < c->a->n; i++)
		if (c->a->boxes[i]->m.role == c->x->role)
			return fault_set(f, FAULT_PERM, 0, 0, 4,
				"another mailbox has that special use");
	return true;
}

/* Where a level of the path ends, behind from. */
static size_t level(struct str path, size_t from)
{
	while (from < path.len && path.ptr[from] != '/')
		from++;
	return from;
}

static bool path_fits(const struct change *c, struct str path, struct fault *f)
{
	size_t n = c->a->n;
	bool more = false;

	for (size_t i = level(path, 0); i <= path.len; i = level(path, i + 1))
		if (mem_named(c->a, str_sub(path, 0, i)) == NULL) {
			n++;
			more = true;
		}
	int64_t max = c->s->settings.mailboxes_max;
	return !more || max == 0 || n <= (size_t)max ||
	       fault_set(f, FAULT_PERM, 0, 0, 5,
		       "there may be %lld mailboxes at most", (long long)max);
}

/* RFC 9051 6.3.4: a/b/c makes a and a/b, too.  A new one has the rights of the
 * one above. */
static void make_path(const struct change *c, struct str path)
{
	struct mem_box *above = NULL, *b;

	for (size_t i = level(path, 0); i <= path.len;
		i = level(path, i + 1), above = b) {
		b = mem_named(c->a, str_sub(path, 0, i));
		if (b != NULL)
			continue;
		b = mem_make_box(c->a, str_sub(path, 0, i),
			i == path.len ? c->x->role : ROLE_NONE);
		for (size_t k = 0; above != NULL && k < above->acl.n; k++)
			mem_entry_set(&b->acl, &above->acl.v[k]);
	}
}

static bool create(const struct change *c, struct fault *f)
{
	if (mem_named(c->a, c->x->name) != NULL)
		return store_there_is(c->x->name, f);
	if (!role_is_free(c, f) || !path_fits(c, c->x->name, f))
		return false;
	make_path(c, c->x->name);
	return true;
}

static void delete (const struct change *c, struct mem_box *b)
{
	c->a->modseq++;
	mem_take_out(c->a, b);
	b->next = c->a->deleted;
	c->a->deleted = b;
	mem_settle(c->a);
}

static bool is_below(struct str name, struct str top)
{
	return name.len > top.len && name.ptr[top.len] == '/' &&
	       str_eq(str_sub(name, 0, top.len), top);
}

/* Under another name it stands elsewhere among the others. */
static void rename_one(
	const struct change *c, struct mem_box *b, struct str name)
{
	mem_take_out(c->a, b);
	mem_str_free(b->m.name);
	b->m.name = mem_str(name);
	mem_put_in(c->a, b);
}

static bool rename_tree(
	const struct change *c, struct mem_box *top, struct fault *f)
{
	struct mem_box **all =
		arena_alloc(c->arena, (c->a->n + 1) * sizeof(*all));
	ptrdiff_t slash = str_rfind(c->x->to, '/');
	size_t n = 0;

	if (slash > 0) {
		struct str parent = str_sub(c->x->to, 0, (size_t)slash);

		if (!path_fits(c, parent, f))
			return false;
		make_path(c, parent);
	}
	for (size_t i = 0; i < c->a->n; i++)
		if (is_below(c->a->boxes[i]->m.name, c->x->name))
			all[n++] = c->a->boxes[i];
	rename_one(c, top, c->x->to);
	for (size_t i = 0; i < n; i++)
		rename_one(c, all[i],
			arena_concat(c->arena, c->x->to,
				str_from_at(all[i]->m.name, c->x->name.len)));
	return true;
}

/* It keeps its name: RFC 9051 6.3.6. */
static bool rename_inbox(
	const struct change *c, struct mem_box *inbox, struct fault *f)
{
	if (!path_fits(c, c->x->to, f))
		return false;
	make_path(c, c->x->to);
	c->a->modseq++;
	for (size_t i = 0; i < inbox->n; i++)
		if (inbox->rows[i].ended == 0) {
			mem_add_row(c->a, mem_named(c->a, c->x->to),
				&inbox->rows[i]);
			mem_end_row(c->a, inbox, &inbox->rows[i]);
		}
	mem_settle(c->a);
	return true;
}

static bool rename(const struct change *c, struct mem_box *b, struct fault *f)
{
	if (mem_named(c->a, c->x->to) != NULL)
		return store_there_is(c->x->to, f);
	return str_eqc(c->x->name, "INBOX") ? rename_inbox(c, b, f)
					    : rename_tree(c, b, f);
}

static bool subscribe(const struct change *c, struct fault *f)
{
	const struct mem_entry e = {.name = c->x->name};

	if (mem_entry(&c->a->subscriptions, c->x->name) == NULL &&
		c->a->subscriptions.n >= c->a->n + STORE_NAMES_ONLY_MAX)
		return fault_set(f, FAULT_PERM, 0, 0, 5,
			"too many subscriptions to mailboxes that are gone");
	mem_entry_set(&c->a->subscriptions, &e);
	return true;
}

static bool change(const struct change *c, struct fault *f)
{
	struct mem_box *b = mem_named(c->a, c->x->name);

	switch (c->x->kind) {
	case STORE_CREATE:
		return create(c, f);
	case STORE_SUBSCRIBE:
		return subscribe(c, f);
	case STORE_UNSUBSCRIBE:
		mem_entry_remove(&c->a->subscriptions, c->x->name);
		return true;
	case STORE_TOLD:
		b = mem_box(c->a, c->x->mailbox);
		if (b != NULL && c->x->below > b->m.told_below)
			b->m.told_below = c->x->below;
		return true;
	case STORE_DELETE:
		if (b != NULL)
			delete (c, b);
		break;
	case STORE_RENAME:
		if (b != NULL)
			return rename(c, b, f);
		break;
	}
	return b != NULL || store_no_such(c->x->name, f);
}

bool store_change_mailbox(struct store *s, int64_t account,
	const struct store_change *x, struct fault *f)
{
	struct arena *arena CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct change c = {s, mem_enter(s, account, true), x, arena};
	bool ok = change(&c, f);

	mem_leave(s);
	return ok;
}
