/* SPDX-License-Identifier: ISC */
/* Reading messages, in memory. */
#include <stdlib.h>

#include "base/must.h"
#include "store/mem/mem.h"

bool store_rows(struct store *s, int64_t account, int64_t mailbox,
	uint64_t since, uint32_t from_uid, store_row_f *fn, void *ctx,
	struct fault *f UNUSED)
{
	const struct mem_box *b =
		mem_box(mem_enter(s, account, false), mailbox);
	bool more = b != NULL;

	for (size_t i = more ? mem_row_from(b, since > 0 ? 0 : from_uid) : 0;
		more && i < b->n; i++) {
		const struct mem_row *r = &b->rows[i];
		const struct store_row row = {r->uid, r->flags, r->modseq,
			mem_size(r), r->received, r->body->id, r->stamp,
			r->keywords};

		if (r->ended == 0 && r->modseq > since)
			more = fn(&row, ctx);
	}
	mem_leave(s);
	return true;
}

bool store_vanished(struct store *s, int64_t account, int64_t mailbox,
	uint64_t since, store_vanished_f *fn, void *ctx, struct fault *f UNUSED)
{
	const struct mem_box *b =
		mem_box(mem_enter(s, account, false), mailbox);

	for (size_t i = 0; b != NULL && i < b->n_gone; i++)
		if (b->gone[i].modseq > since)
			fn(b->gone[i].uid, b->gone[i].modseq, ctx);
	mem_leave(s);
	return true;
}

/* ---- their bytes ---- */

struct store_reading {
	struct store *s;
	int64_t account;
	uint64_t modseq; /* the moment */
};

struct store_reading *store_read_begin(
	struct store *s, int64_t account, struct fault *f UNUSED)
{
	struct store_reading *r = must_alloc(sizeof(*r));
	struct mem_account *a = mem_enter(s, account, false);

	*r = (struct store_reading){s, account, a->modseq};
	a->readings++;
	mem_leave(s);
	return r;
}

void store_read_end(struct store_reading *r)
{
	if (r == NULL)
		return;
	struct mem_account *a = mem_enter(r->s, r->account, false);
	a->readings--;
	mem_settle(a);
	mem_leave(r->s);
	free(r);
}

static const struct mem_row *row_then(const struct mem_account *a,
	int64_t mailbox, uint32_t uid, uint64_t modseq)
{
	const struct mem_box *b = mem_box(a, mailbox);

	if (b == NULL)
		for (b = a->deleted; b != NULL && b->m.id != mailbox;)
			b = b->next;
	size_t i = b != NULL ? mem_row_from(b, uid) : 0;
	if (b == NULL || i == b->n || b->rows[i].uid != uid ||
		b->rows[i].born > modseq)
		return NULL;
	return b->rows[i].ended == 0 || b->rows[i].ended > modseq ? &b->rows[i]
								  : NULL;
}

static void take(
	const struct mem_row *r, unsigned parts, struct store_message *m)
{
	bool bytes = (parts & (STORE_BYTES | STORE_HEAD)) != 0;
	struct str data = r->body->bytes;

	if ((parts & STORE_BYTES) == 0)
		data = store_head(data);
	store_message_make(m, r->body->cache, bytes ? r->prefix : STR(""),
		bytes ? data : STR(""));
	m->blob = r->body->id;
	m->saved = r->saved;
}

bool store_read_message(struct store_reading *r, int64_t mailbox, uint32_t uid,
	unsigned parts, struct store_message *m_r, struct fault *f)
{
	const struct mem_row *row = row_then(
		mem_enter(r->s, r->account, false), mailbox, uid, r->modseq);

	if (row != NULL)
		take(row, parts, m_r);
	mem_leave(r->s);
	return row != NULL ||
	       fault_set(f, FAULT_PERM, 0, 0, 3, "the message is gone");
}

bool store_glimpses(struct store *s, int64_t account, int64_t mailbox,
	uint32_t from_uid, uint32_t to_uid, unsigned parts, store_glimpse_f *fn,
	void *ctx, struct fault *f UNUSED)
{
	const struct mem_box *b =
		mem_box(mem_enter(s, account, false), mailbox);

	for (size_t i = b != NULL ? mem_row_from(b, from_uid) : 0;
		b != NULL && i < b->n && b->rows[i].uid <= to_uid; i++) {
		const struct mem_row *r = &b->rows[i];
		struct store_glimpse g = {.uid = r->uid,
			.saved = r->saved,
			.cache = r->body->cache};

		if ((parts & STORE_HEAD) != 0) {
			g.prefix = r->prefix;
			g.head = store_head(r->body->bytes);
		}
		if (r->ended == 0)
			fn(&g, ctx);
	}
	mem_leave(s);
	return true;
}
