/* SPDX-License-Identifier: ISC */
/* New messages, in memory: delivery, APPEND, REPLACE.  All of an account come,
 * or none: what was done for the first is taken back where the last has no
 * room. */
#include <stdlib.h>

#include "base/map.h"
#include "base/must.h"
#include "store/mem/mem.h"

/* ---- what was before ---- */

struct was {
	int64_t id;
	struct store_mailbox m;
	size_t n, n_gone;
};

struct mark {
	uint64_t modseq;
	uint32_t validity;
	int64_t last_box;
	struct was *v;
	size_t n;
	struct strs noted, subscribed; /* since */
	struct arena *arena;
};

static struct mark mark(const struct mem_account *a, struct arena *arena)
{
	struct mark m = {.modseq = a->modseq,
		.validity = a->validity,
		.last_box = a->last_box,
		.v = arena_alloc(arena, (a->n + 1) * sizeof(*m.v)),
		.n = a->n,
		.arena = arena};

	for (size_t i = 0; i < a->n; i++) {
		const struct mem_box *b = a->boxes[i];

		m.v[i] = (struct was){b->m.id, b->m, b->n, b->n_gone};
	}
	return m;
}

static void restore_box(struct mem_box *b, const struct was *was)
{
	while (b->n > was->n)
		mem_free_row(&b->rows[--b->n]);
	for (size_t i = was->n_gone; i < b->n_gone; i++)
		b->rows[mem_row_from(b, b->gone[i].uid)].ended = 0;
	b->n_gone = was->n_gone;
	b->m = was->m;
}

static void roll_back(struct mem_account *a, const struct mark *m)
{
	for (size_t i = 0; i < m->n; i++)
		restore_box(mem_box(a, m->v[i].id), &m->v[i]);
	for (; a->last_box > m->last_box; a->last_box--) {
		struct mem_box *made = mem_box(a, a->last_box);

		mem_take_out(a, made);
		mem_free_box(made);
	}
	for (size_t i = 0; i < m->noted.n; i++)
		map_remove(a->deliveries, m->noted.v[i]);
	for (size_t i = 0; i < m->subscribed.n; i++)
		mem_entry_remove(&a->subscriptions, m->subscribed.v[i]);
	a->modseq = m->modseq;
	a->validity = m->validity;
}

/* ---- where to ---- */

static struct mem_box *with_role(
	const struct mem_account *a, enum store_role role)
{
	struct mem_box *first = NULL;

	for (size_t i = 0; role != ROLE_NONE && i < a->n; i++)
		if (a->boxes[i]->m.role == role &&
			(first == NULL || a->boxes[i]->m.id < first->m.id))
			first = a->boxes[i];
	return first;
}

static struct mem_box *find_or_make(struct mem_account *a,
	const struct store_new *m, struct mark *mark, struct fault *f)
{
	const struct mem_entry e = {.name = m->mailbox};
	struct mem_box *b = with_role(a, m->use);

	if (b == NULL)
		b = mem_named(a, m->mailbox);
	if (b == NULL && !m->create)
		store_no_such(m->mailbox, f);
	if (b != NULL || !m->create)
		return b;
	if (mem_entry(&a->subscriptions, e.name) == NULL) {
		strs_add(&mark->subscribed, mark->arena, e.name);
		mem_entry_set(&a->subscriptions, &e);
	}
	return mem_make_box(a, m->mailbox, m->use);
}

/* Was it delivered there before?  A retry finds it. */
static bool was_here(struct mem_account *a, const struct mem_box *b,
	const struct store_new *m, struct mark *mark)
{
	if (m->msg == 0)
		return false;
	struct str key = arena_printf(mark->arena, "%lld %lld",
		(long long)m->msg, (long long)b->m.id);
	if (map_set(a->deliveries, key, a) != NULL)
		return true;
	strs_add(&mark->noted, mark->arena, key);
	return false;
}

/* A mailbox that never gave a UID takes the UIDVALIDITY of an import; of two
 * that never gave one, the other gets a new one. */
static void adopt_validity(
	struct mem_account *a, struct mem_box *b, uint32_t wanted)
{
	if (b->m.uidnext > 1 || wanted == 0 || wanted > STORE_KEPT_MAX ||
		b->m.uidvalidity == wanted)
		return;
	for (size_t i = 0; i < a->n; i++) {
		struct store_mailbox *other = &a->boxes[i]->m;

		if (other->uidvalidity != wanted)
			continue;
		if (other->uidnext > 1)
			return;
		other->uidvalidity = mem_next_validity(a);
	}
	if (wanted > a->validity)
		a->validity = wanted;
	b->m.uidvalidity = wanted;
}

/* Makes the wanted UID the next; true: that message is there. */
static bool has_uid(
	struct mem_account *a, struct mem_box *b, const struct store_new *m)
{
	if (m->uid == 0 || m->uid > STORE_KEPT_MAX)
		return false;
	adopt_validity(a, b, m->uidvalidity);
	if (b->m.uidvalidity != m->uidvalidity)
		return false;
	if (m->uid >= b->m.uidnext) {
		b->m.uidnext = m->uid;
		return false;
	}
	const struct mem_row *r = mem_row(b, m->uid);
	return r != NULL && mem_size(r) == m->prefix.len + m->body.len &&
	       r->received == m->received;
}

/* ---- one message ---- */

static void drop_replaced(struct mem_account *a, const struct store_new *m)
{
	struct mem_box *b =
		m->instead_uid != 0 ? mem_box(a, m->instead_mailbox) : NULL;
	struct mem_row *r = b != NULL ? mem_row(b, m->instead_uid) : NULL;

	if (r == NULL)
		return;
	a->modseq++;
	mem_end_row(a, b, r);
}

static bool there_is_room(
	const struct mem_account *a, const struct store_new *m, struct fault *f)
{
	uint64_t bytes = m->prefix.len + m->body.len, messages = 1;

	for (size_t i = 0; i < a->n; i++) {
		bytes += a->boxes[i]->m.bytes;
		messages += a->boxes[i]->m.n_exists;
	}
	return store_quota_fits(&m->quota, bytes, messages, f);
}

static struct mem_body *new_body(struct store *s, const struct store_new *m)
{
	struct mem_body *body = must_alloc(sizeof(*body));

	*body = (struct mem_body){.refs = 1, /* this group's */
		.id = ++s->last_blob,
		.bytes = mem_str(m->body),
		.cache = mem_str(m->cache)};
	return body;
}

static bool deliver_one(struct mem_account *a, struct store_target *t,
	struct mem_body *body, struct mark *mark, struct fault *f)
{
	const struct store_new *m = t->m;
	struct mem_box *b = find_or_make(a, m, mark, f);

	t->uid = t->uidvalidity = 0;
	if (b == NULL)
		return false;
	t->mailbox = b->m.id;
	if (was_here(a, b, m, mark) || has_uid(a, b, m))
		return true;
	drop_replaced(a, m);
	const struct mem_row row = {.flags = m->flags,
		.received = m->received,
		.stamp = m->stamp,
		.prefix = m->prefix,
		.keywords = store_join(&m->keywords, mark->arena),
		.body = body};
	if (!there_is_room(a, m, f) || !store_keywords_fit(row.keywords, f))
		return false;
	a->modseq++;
	t->uid = mem_add_row(a, b, &row)->uid;
	t->uidvalidity = b->m.uidvalidity;
	return true;
}

/* Neighbours with the same body share it. */
static bool deliver_all(struct store *s, struct mem_account *a,
	struct store_target *targets, size_t n, struct mark *mark,
	struct fault *f)
{
	struct mem_body *body = NULL;
	bool ok = true;

	for (size_t i = 0; ok && i < n; i++) {
		const struct store_new *m = targets[i].m;

		if (i == 0 || m->body.ptr != targets[i - 1].m->body.ptr ||
			m->body.len != targets[i - 1].m->body.len) {
			if (body != NULL)
				mem_unref(body);
			body = new_body(s, m);
		}
		ok = deliver_one(a, &targets[i], body, mark, f);
	}
	if (body != NULL)
		mem_unref(body);
	return ok;
}

static void deliver_account(
	struct store *s, struct store_target *targets, size_t n)
{
	struct arena *arena CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct mem_account *a = mem_enter(s, targets[0].account, true);
	struct mark was = mark(a, arena);
	struct fault f = {0};
	bool ok = deliver_all(s, a, targets, n, &was, &f);

	if (!ok)
		roll_back(a, &was);
	mem_settle(a);
	mem_leave(s);
	for (size_t i = 0; i < n; i++) {
		targets[i].ok = ok;
		targets[i].fault = f;
	}
}

static int by_account(const void *x, const void *y)
{
	const struct store_target *a = x, *b = y;

	return (a->account > b->account) - (a->account < b->account);
}

void store_post(struct store *s, struct store_target *targets, size_t n,
	store_done_f *done, void *ctx)
{
	/* The order within one account matters: MULTIAPPEND. */
	bool mixed = false;

	for (size_t i = 1; i < n; i++)
		mixed |= targets[i].account != targets[0].account;
	if (mixed)
		qsort(targets, n, sizeof(*targets), by_account);
	for (size_t i = 0, end; i < n; i = end) {
		for (end = i + 1;
			end < n && targets[end].account == targets[i].account;)
			end++;
		deliver_account(s, targets + i, end - i);
	}
	done(ctx);
}
