/* SPDX-License-Identifier: ISC */
/* Changes of messages that are there, in memory: flags, COPY, MOVE, EXPUNGE. */
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "store/mem/mem.h"

/* ---- flags ---- */

struct flag_run {
	struct mem_box *b;
	struct store_flags *change;
	struct str set; /* of FLAGS_SET */
	struct arena *arena;
};

static bool is_stale(const struct flag_run *x, const struct mem_row *r)
{
	return x->change->conditional && r->modseq > x->change->unchanged;
}

static bool keywords_fit(
	const struct flag_run *x, const struct mem_row *r, struct fault *f)
{
	return store_keywords_fit(
		store_merge_keywords(x->change, r->keywords, x->set, x->arena),
		f);
}

static void flag_one(
	struct mem_account *a, const struct flag_run *x, struct mem_row *r)
{
	struct store_mailbox *m = &x->b->m;
	uint32_t now = store_merge_flags(x->change, r->flags);
	struct str words =
		store_merge_keywords(x->change, r->keywords, x->set, x->arena);

	if (now == r->flags && str_eq(words, r->keywords))
		return;
	if (x->change->modseq == 0)
		x->change->modseq = m->modseq = ++a->modseq;
	m->n_unseen += (now & FLAG_SEEN) == 0;
	m->n_unseen -= (r->flags & FLAG_SEEN) == 0;
	m->n_deleted += (now & FLAG_DELETED) != 0;
	m->n_deleted -= (r->flags & FLAG_DELETED) != 0;
	struct str old = r->keywords;
	r->keywords = mem_str(words);
	mem_str_free(old);
	r->flags = now;
	r->modseq = x->change->modseq;
}

static bool flag_all(struct mem_account *a, struct flag_run *x,
	const uint32_t *uids, size_t n, struct fault *f)
{
	struct store_flags *c = x->change;

	for (size_t i = 0; i < n; i++) {
		struct mem_row *r = mem_row(x->b, uids[i]);

		if (c->conditional)
			c->failed[i] = r != NULL && is_stale(x, r);
		if (r != NULL && !is_stale(x, r) && !keywords_fit(x, r, f))
			return false;
	}
	for (size_t i = 0; i < n; i++) {
		struct mem_row *r = mem_row(x->b, uids[i]);

		if (r != NULL && !(c->conditional && c->failed[i]))
			flag_one(a, x, r);
	}
	return true;
}

bool store_flags(struct store *s, int64_t account, int64_t mailbox,
	const uint32_t *uids, size_t n, struct store_flags *change,
	struct fault *f)
{
	struct arena *arena CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct mem_account *a = mem_enter(s, account, false);
	struct flag_run x = {mem_box(a, mailbox), change,
		store_join(&change->keywords, arena), arena};

	change->modseq = 0;
	bool ok = x.b == NULL || flag_all(a, &x, uids, n, f);
	mem_leave(s);
	return ok;
}

/* ---- copy and move ---- */

static bool copies_fit(const struct mem_account *a, const struct mem_box *from,
	const uint32_t *uids, size_t n, const struct store_quota *quota,
	struct fault *f)
{
	uint64_t bytes = 0, messages = 0;

	for (size_t i = 0; i < a->n; i++) {
		bytes += a->boxes[i]->m.bytes;
		messages += a->boxes[i]->m.n_exists;
	}
	for (size_t i = 0; from != NULL && i < n; i++) {
		const struct mem_row *r = mem_row(from, uids[i]);

		bytes += r != NULL ? mem_size(r) : 0;
		messages += r != NULL;
	}
	return store_quota_fits(quota, bytes, messages, f);
}

static uint32_t copy_one(struct mem_account *a, struct mem_box *from,
	struct mem_box *to, uint32_t uid, bool move)
{
	struct mem_row *r = from != NULL ? mem_row(from, uid) : NULL;

	if (r == NULL)
		return 0;
	/* Where it goes to its own mailbox, the rows may move in memory. */
	const struct mem_row row = *r;
	uint32_t fresh = mem_add_row(a, to, &row)->uid;
	if (move)
		mem_end_row(a, from, mem_row(from, uid));
	return fresh;
}

static bool copy_all(struct mem_account *a, struct mem_box *from,
	struct mem_box *to, const uint32_t *uids, size_t n, bool move,
	const struct store_quota *quota, uint32_t *to_r, struct fault *f)
{
	if (!move && quota != NULL && !copies_fit(a, from, uids, n, quota, f))
		return false;
	to->m.modseq = ++a->modseq;
	for (size_t i = 0; i < n; i++)
		to_r[i] = copy_one(a, from, to, uids[i], move);
	mem_settle(a);
	return true;
}

bool store_copy(struct store *s, int64_t account, int64_t mailbox,
	const uint32_t *uids, size_t n, struct str to, bool move,
	const struct store_quota *quota, uint32_t *to_r,
	uint32_t *uidvalidity_r, struct fault *f)
{
	struct mem_account *a = mem_enter(s, account, false);
	struct mem_box *target = mem_named(a, to);

	memset(to_r, 0, n * sizeof(*to_r));
	*uidvalidity_r = target != NULL ? target->m.uidvalidity : 0;
	bool ok = target != NULL ? copy_all(a, mem_box(a, mailbox), target,
					   uids, n, move, quota, to_r, f)
				 : store_no_such(to, f);
	mem_leave(s);
	return ok;
}

/* ---- expunge, and what clients were told ---- */

bool store_expunge(struct store *s, int64_t account, int64_t mailbox,
	const uint32_t *uids, size_t n, struct fault *f UNUSED)
{
	struct mem_account *a = mem_enter(s, account, false);
	struct mem_box *b = mem_box(a, mailbox);

	a->modseq++;
	for (size_t i = 0; b != NULL && i < n; i++) {
		struct mem_row *r = mem_row(b, uids[i]);

		if (r != NULL)
			mem_end_row(a, b, r);
	}
	mem_settle(a);
	mem_leave(s);
	return true;
}
