/* SPDX-License-Identifier: ISC */
#include "role/mailbox/imap/prefetch.h"

#include "base/sorted.h"
#include "role/mailbox/imap/imap.h"

enum {
	HOLES_MAX = 4, /* UIDs in the range, for each that is wanted */
	HEAD_MAX = 65536, /* a longer header is read alone: a chunk has many */
};

void prefetch_init(struct prefetch *p)
{
	p->a = arena_new(SIZE_MAX);
	p->n = 0;
}

void prefetch_fini(struct prefetch *p)
{
	arena_free(p->a);
}

static void take(const struct store_glimpse *g, void *ctx)
{
	struct prefetch *p = ctx;

	while (p->at < p->n && p->picks[p->at].uid < g->uid)
		p->at++;
	if (p->at == p->n || p->picks[p->at].uid != g->uid)
		return;
	p->v[p->at].here = true;
	p->v[p->at].saved = g->saved;
	p->v[p->at].cache = arena_str(p->a, g->cache);
	p->v[p->at].head = STR_NONE;
	if (p->heads && g->head.len <= HEAD_MAX)
		p->v[p->at].head = arena_concat(p->a, g->prefix, g->head);
}

void prefetch_chunk(struct prefetch *p, struct imap *s,
	const struct view_walk *w, unsigned parts)
{
	uint32_t first = w->chunk[0].uid, last = w->chunk[w->n - 1].uid;
	struct fault f;

	arena_reset(p->a);
	p->picks = w->chunk;
	p->n = w->n;
	p->at = 0;
	p->heads = (parts & STORE_HEAD) != 0;
	for (size_t i = 0; i < p->n; i++)
		p->v[i].here = false;
	/* What goes wrong here is said by who asks for each. */
	if (p->n < 2 || last - first > p->n * HOLES_MAX ||
		!store_glimpses(s->sv->m->store, s->view.box->account,
			s->view.box->mailbox, first, last, parts, take, p, &f))
		p->n = 0;
}

static int pick_by_uid(const void *uid, const void *pick)
{
	return sorted_by_u32(uid, &((const struct pick *)pick)->uid);
}

static const struct prefetched *find(const struct prefetch *p, uint32_t uid)
{
	const struct pick *pick = sorted_find(
		&uid, p->picks, p->n, sizeof(*p->picks), pick_by_uid);

	if (pick == NULL || !p->v[pick - p->picks].here)
		return NULL;
	return &p->v[pick - p->picks];
}

bool prefetch_get(const struct prefetch *p, uint32_t uid, int64_t *saved_r,
	struct str *cache_r)
{
	const struct prefetched *one = find(p, uid);

	if (one == NULL)
		return false;
	*saved_r = one->saved;
	*cache_r = one->cache;
	return true;
}

bool prefetch_head(const struct prefetch *p, uint32_t uid, struct str *head_r)
{
	const struct prefetched *one = find(p, uid);

	if (one == NULL || !str_present(one->head))
		return false;
	*head_r = one->head;
	return true;
}
