/* SPDX-License-Identifier: ISC */
#include "codec/imap/thread.h"

#include <stdlib.h>

#include "base/must.h"

/* A chain of parents beyond this is not followed: it is no conversation. */
enum { DEPTH_MAX = 10000 };

struct node {
	const struct imap_thread_message *m; /* NULL: only heard of */
	struct node *parent; /* by the references */
	struct node *child, *next; /* of the tree that is told */
	size_t order; /* of arrival */
	int64_t date, newest;
	struct node *all; /* every node, by way of this */
};

/* Open addressing: the ids are hashes already. */
struct ids {
	struct {
		uint64_t id; /* 0: free */
		struct node *node;
	} * v;
	size_t cap, n; /* cap: a power of two */
};

struct threads {
	struct arena *a;
	struct ids ids;
	struct node *nodes; /* through all */
	struct node *root; /* its children are the threads */
};

static struct node *new_node(struct threads *t)
{
	struct node *n = arena_make(t->a, struct node);

	n->all = t->nodes;
	t->nodes = n;
	return n;
}

/* ---- step 1: who refers to whom ---- */

static size_t id_place(const struct ids *ids, uint64_t id)
{
	size_t i = id & (ids->cap - 1);

	while (ids->v[i].id != 0 && ids->v[i].id != id)
		i = (i + 1) & (ids->cap - 1);
	return i;
}

static void ids_grow(struct ids *ids)
{
	struct ids old = *ids;

	ids->cap = old.cap > 0 ? old.cap * 2 : 1024;
	ids->v = must_alloc(ids->cap * sizeof(*ids->v));
	for (size_t i = 0; i < old.cap; i++)
		if (old.v[i].id != 0)
			ids->v[id_place(ids, old.v[i].id)] = old.v[i];
	free(old.v);
}

static struct node *node_of(struct threads *t, uint64_t id)
{
	if (t->ids.n * 2 >= t->ids.cap)
		ids_grow(&t->ids);
	size_t i = id_place(&t->ids, id);
	if (t->ids.v[i].id == 0) {
		t->ids.v[i].id = id;
		t->ids.v[i].node = new_node(t);
		t->ids.n++;
	}
	return t->ids.v[i].node;
}

/* Would that make a circle, or a chain beyond all reason? */
static bool may_link(const struct node *parent, const struct node *child)
{
	size_t depth = 0;

	for (const struct node *i = parent; i != NULL; i = i->parent)
		if (i == child || ++depth > DEPTH_MAX)
			return false;
	return true;
}

static void add_message(
	struct threads *t, const struct imap_thread_message *m, size_t order)
{
	struct node *n = NULL, *last = NULL;

	if (m->id != 0)
		n = node_of(t, m->id);
	/* A second one with the same id is one without. */
	if (n == NULL || n->m != NULL)
		n = new_node(t);
	n->m = m;
	n->order = order;
	n->date = m->date;
	for (size_t i = 0; i < m->n_references; i++) {
		struct node *ref = node_of(t, m->references[i]);

		if (last != NULL && ref->parent == NULL && ref != last &&
			may_link(last, ref))
			ref->parent = last;
		last = ref;
	}
	if (last != NULL) {
		n->parent = NULL;
		if (may_link(last, n))
			n->parent = last;
	}
}

/* ---- the tree that is told ---- */

static void add_child(struct node *parent, struct node *child)
{
	child->next = parent->child;
	parent->child = child;
}

/* Steps 2 and 3: each message below the nearest that is there; those without
 * one, but with a common origin that is not there, below that. */
static void build_tree(struct threads *t)
{
	struct node *next;

	for (struct node *n = t->nodes; n != NULL; n = n->all) {
		struct node *up = n->parent, *top = NULL;

		if (n->m == NULL)
			continue;
		while (up != NULL && up->m == NULL) {
			top = up;
			up = up->parent;
		}
		if (up == NULL)
			up = top != NULL ? top : t->root;
		add_child(up, n);
	}
	for (struct node *n = t->nodes; n != NULL; n = n->all) {
		if (n->m != NULL || n->child == NULL || n == t->root)
			continue;
		if (n->child->next != NULL) {
			add_child(t->root, n);
			continue;
		}
		next = n->child;
		n->child = NULL;
		add_child(t->root, next);
	}
}

static int by_date(const void *x, const void *y)
{
	const struct node *a = *(struct node *const *)x;
	const struct node *b = *(struct node *const *)y;

	if (a->date != b->date)
		return a->date < b->date ? -1 : 1;
	return (a->order > b->order) - (a->order < b->order);
}

static int by_newest(const void *x, const void *y)
{
	const struct node *a = *(struct node *const *)x;
	const struct node *b = *(struct node *const *)y;

	if (a->newest != b->newest)
		return a->newest < b->newest ? -1 : 1;
	return by_date(x, y);
}

static void sort_children(struct threads *t, struct node *parent,
	int (*compare)(const void *, const void *))
{
	bool sorted = true;
	size_t n = 0;

	for (struct node *c = parent->child; c != NULL; c = c->next) {
		sorted = sorted &&
			 (c->next == NULL || compare(&c, &c->next) <= 0);
		n++;
	}
	if (sorted)
		return;
	struct node **v = arena_alloc(t->a, n * sizeof(*v));
	n = 0;
	for (struct node *c = parent->child; c != NULL; c = c->next)
		v[n++] = c;
	qsort(v, n, sizeof(struct node *), compare);
	parent->child = NULL;
	while (n > 0)
		add_child(parent, v[--n]);
}

/* One that is not there has the date of its first child. */
static void date_dummies(struct node *root)
{
	for (struct node *n = root->child; n != NULL; n = n->next)
		if (n->m == NULL) {
			n->date = n->child->date;
			n->order = n->child->order;
		}
}

static void sort_all(struct threads *t)
{
	for (struct node *n = t->nodes; n != NULL; n = n->all)
		if (n != t->root)
			sort_children(t, n, by_date);
	date_dummies(t->root);
	sort_children(t, t->root, by_date);
}

/* ---- step 5: the same subject ---- */

static const struct imap_thread_message *speaker(const struct node *n)
{
	return n->m != NULL ? n->m : n->child->m;
}

static bool is_reply(const struct node *n)
{
	return n->m != NULL && n->m->reply;
}

/* By subject; of those with an empty one there is none. */
static struct node **subject_table(struct threads *t, uint32_t subjects)
{
	struct node **table = arena_alloc(
		t->a, ((size_t)subjects + 1) * sizeof(struct node *));

	for (struct node *n = t->root->child; n != NULL; n = n->next) {
		uint32_t subject = speaker(n)->subject;
		const struct node *have = table[subject];

		if (subject == 0)
			continue;
		if (have == NULL ||
			(have->m != NULL &&
				(n->m == NULL ||
					(is_reply(have) && !is_reply(n)))))
			table[subject] = n;
	}
	return table;
}

/* Into the thread that the table has for its subject; where that is a root of
 * its own, both go below a new one. */
static void join(struct threads *t, struct node **table, struct node *n,
	struct node *have)
{
	struct node *child;

	if (n->m == NULL && have->m == NULL) {
		while ((child = n->child) != NULL) {
			n->child = child->next;
			add_child(have, child);
		}
	} else if (have->m == NULL || (is_reply(n) && !is_reply(have))) {
		add_child(have, n);
	} else {
		struct node *copy = new_node(t);
		struct node *all = copy->all;

		/* "have" stays where it stands among the roots and becomes the
		 * common one; what it was goes below it. */
		*copy = *have;
		copy->all = all;
		have->m = NULL;
		have->child = NULL;
		add_child(have, n);
		add_child(have, copy);
		table[copy->m->subject] = have;
	}
}

static void merge_subjects(struct threads *t, uint32_t subjects)
{
	struct node **table = subject_table(t, subjects);
	struct node *next, *kept = NULL, **last = &kept;

	for (struct node *n = t->root->child; n != NULL; n = next) {
		struct node *have = table[speaker(n)->subject];

		next = n->next;
		if (have == NULL || have == n) {
			*last = n;
			last = &n->next;
		} else {
			join(t, table, n, have);
		}
	}
	*last = NULL;
	t->root->child = kept;
}

/* ---- telling ---- */

struct frame {
	struct node *next;
	struct frame *up;
};

static void put_thread(struct node *node, struct arena *a, struct buf *out)
{
	struct frame *frame = NULL;
	bool any = false;

	buf_putc(out, '(');
	for (;;) {
		if (node->m != NULL) {
			if (any)
				buf_putc(out, ' ');
			buf_put_u64(out, node->m->number);
			any = true;
		}
		if (node->child != NULL && node->child->next == NULL) {
			node = node->child;
			continue;
		}
		if (node->child != NULL) {
			struct frame *f = arena_make(a, struct frame);

			if (any)
				buf_putc(out, ' ');
			*f = (struct frame){node->child->next, frame};
			frame = f;
			node = node->child;
		} else {
			buf_putc(out, ')');
			while (frame != NULL && frame->next == NULL) {
				buf_putc(out, ')');
				frame = frame->up;
			}
			if (frame == NULL)
				return;
			node = frame->next;
			frame->next = node->next;
		}
		buf_putc(out, '(');
		any = false;
	}
}

static void put_all(struct threads *t, struct buf *out)
{
	for (struct node *n = t->root->child; n != NULL; n = n->next)
		put_thread(n, t->a, out);
}

/* ---- REFS ---- */

/* The date of the newest message of each thread, handed up to its root. */
static void find_newest(struct threads *t)
{
	for (struct node *n = t->nodes; n != NULL; n = n->all) {
		struct node *top = n;
		size_t depth = 0;

		if (n->m == NULL)
			continue;
		while (top->parent != NULL && depth++ < DEPTH_MAX)
			top = top->parent;
		if (top->newest == 0 || n->date > top->newest)
			top->newest = n->date;
	}
	for (struct node *n = t->root->child; n != NULL; n = n->next) {
		struct node *top = n;

		while (top->parent != NULL)
			top = top->parent;
		n->newest = top->newest;
	}
}

static void by_references(struct threads *t, enum imap_thread_kind kind,
	const struct imap_thread_message *v, size_t n)
{
	uint32_t subjects = 0;

	for (size_t i = 0; i < n; i++)
		add_message(t, &v[i], i);
	free(t->ids.v);
	build_tree(t);
	sort_all(t);
	for (size_t i = 0; i < n; i++)
		if (v[i].subject > subjects)
			subjects = v[i].subject;
	if (kind == THREAD_REFERENCES) {
		merge_subjects(t, subjects);
		sort_all(t);
	} else {
		find_newest(t);
		sort_children(t, t->root, by_newest);
	}
}

/* ---- ORDEREDSUBJECT ---- */

static int by_subject(const void *x, const void *y)
{
	const struct node *a = *(struct node *const *)x;
	const struct node *b = *(struct node *const *)y;

	if (a->m->subject != b->m->subject)
		return a->m->subject < b->m->subject ? -1 : 1;
	return by_date(x, y);
}

static void by_ordered_subject(
	struct threads *t, const struct imap_thread_message *v, size_t n)
{
	struct node **sorted =
		arena_alloc(t->a, (n + 1) * sizeof(struct node *));
	struct node *first = NULL;

	for (size_t i = 0; i < n; i++) {
		sorted[i] = new_node(t);
		sorted[i]->m = &v[i];
		sorted[i]->order = i;
		sorted[i]->date = v[i].date;
	}
	if (n > 0)
		qsort(sorted, n, sizeof(struct node *), by_subject);
	for (size_t i = 0; i < n; i++) {
		if (first == NULL ||
			first->m->subject != sorted[i]->m->subject) {
			first = sorted[i];
			add_child(t->root, first);
		} else {
			add_child(first, sorted[i]);
		}
	}
	sort_all(t);
}

void imap_thread_put(enum imap_thread_kind kind,
	const struct imap_thread_message *v, size_t n, struct arena *a,
	struct buf *out)
{
	struct threads t = {.a = a};

	t.root = new_node(&t);
	if (kind == THREAD_ORDEREDSUBJECT)
		by_ordered_subject(&t, v, n);
	else
		by_references(&t, kind, v, n);
	put_all(&t, out);
}
