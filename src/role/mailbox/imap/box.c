/* SPDX-License-Identifier: ISC */
#include "role/mailbox/imap/facts.h"

#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "base/sorted.h"

enum { BOX_SLOTS = 1024, WORDS_MAX = 1 << 20 };

struct boxes {
	pthread_mutex_t lock;
	struct store *store;
	struct box *slots[BOX_SLOTS];
};

struct boxes *boxes_new(struct store *store)
{
	struct boxes *b = must_alloc(sizeof(*b));

	pthread_mutex_init(&b->lock, NULL);
	b->store = store;
	return b;
}

static struct box **slot(struct boxes *b, int64_t account, int64_t mailbox)
{
	uint64_t h =
		(uint64_t)account * 0x9e3779b97f4a7c15u + (uint64_t)mailbox;

	return &b->slots[(h >> 20 ^ h) % BOX_SLOTS];
}

static struct box *box_new(struct store *store, int64_t account, int64_t id)
{
	struct box *box = must_alloc(sizeof(*box));

	pthread_rwlock_init(&box->lock, NULL);
	pthread_mutex_init(&box->facts_lock, NULL);
	box->store = store;
	box->account = account;
	box->mailbox = id;
	box->word_index = map_new();
	box->words = must_alloc(sizeof(*box->words));
	box->words[0] = "";
	box->n_words = box->cap_words = 1;
	return box;
}

static void box_free(struct box *box)
{
	for (size_t i = 1; i < box->n_words; i++)
		free((void *)(uintptr_t)box->words[i]);
	free(box->words);
	map_free(box->word_index, NULL);
	facts_free(box->facts);
	free(box->rows);
	free(box->gone);
	pthread_rwlock_destroy(&box->lock);
	free(box);
}

/* With the lock held; NULL: nobody has it. */
static struct box *find(struct box *box, int64_t account, int64_t mailbox)
{
	while (box != NULL &&
		(box->account != account || box->mailbox != mailbox))
		box = box->next;
	return box;
}

struct box *boxes_get(struct boxes *b, int64_t account, int64_t mailbox,
	struct box_user *user)
{
	pthread_mutex_lock(&b->lock);
	struct box **at = slot(b, account, mailbox);
	struct box *box = find(*at, account, mailbox);

	if (box == NULL) {
		box = box_new(b->store, account, mailbox);
		box->next = *at;
		*at = box;
	}
	user->next = box->users;
	box->users = user;
	pthread_mutex_unlock(&b->lock);
	return box;
}

void boxes_put(struct boxes *b, struct box *box, struct box_user *user)
{
	pthread_mutex_lock(&b->lock);
	struct box_user **u = &box->users;

	while (*u != user)
		u = &(*u)->next;
	*u = user->next;
	bool last = box->users == NULL;
	if (last) {
		struct box **at = slot(b, box->account, box->mailbox);

		while (*at != box)
			at = &(*at)->next;
		*at = box->next;
	}
	pthread_mutex_unlock(&b->lock);
	if (last)
		box_free(box);
}

/* ---- what sessions were told of ---- */

uint32_t box_told(const struct box *box)
{
	return __atomic_load_n(&box->told, __ATOMIC_RELAXED);
}

static uint32_t raise_to(uint32_t *at, uint32_t value)
{
	uint32_t have = __atomic_load_n(at, __ATOMIC_RELAXED);

	while (have < value &&
		!__atomic_compare_exchange_n(at, &have, value, false,
			__ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
	return have;
}

uint32_t box_tell(struct box *box, uint32_t next)
{
	return raise_to(&box->told, next);
}

void box_tell_stored(struct box *box, uint32_t stored)
{
	raise_to(&box->told, stored);
	raise_to(&box->told_stored, stored);
}

bool box_tell_unstored(struct box *box, uint32_t *told_r)
{
	*told_r = box_told(box);
	return raise_to(&box->told_stored, *told_r) < *told_r;
}

uint32_t boxes_told(struct boxes *b, int64_t account, int64_t mailbox)
{
	pthread_mutex_lock(&b->lock);
	const struct box *box =
		find(*slot(b, account, mailbox), account, mailbox);
	uint32_t told = box != NULL ? box_told(box) : 0;
	pthread_mutex_unlock(&b->lock);
	return told;
}

/* ---- looking up ---- */

static int row_by_uid(const void *uid, const void *row)
{
	return sorted_by_u32(uid, &((const struct box_row *)row)->uid);
}

static int gone_by_uid(const void *uid, const void *gone)
{
	return sorted_by_u32(uid, &((const struct box_gone *)gone)->uid);
}

size_t box_lower(const struct box *box, uint32_t uid)
{
	return sorted_lower(
		&uid, box->rows, box->n, sizeof(*box->rows), row_by_uid);
}

const struct box_row *box_find(const struct box *box, uint32_t uid)
{
	size_t i = box_lower(box, uid);

	return i < box->n && box->rows[i].uid == uid ? &box->rows[i] : NULL;
}

size_t box_gone_below(const struct box *box, uint32_t uid)
{
	return sorted_lower(
		&uid, box->gone, box->n_gone, sizeof(*box->gone), gone_by_uid);
}

uint64_t box_gone_at(const struct box *box, uint32_t uid)
{
	size_t i = box_gone_below(box, uid);

	return i < box->n_gone && box->gone[i].uid == uid ? box->gone[i].modseq
							  : 0;
}

/* ---- following the store ---- */

static uint32_t intern(struct box *box, struct str words)
{
	if (words.len == 0 || box->n_words == WORDS_MAX)
		return 0;
	uintptr_t have = (uintptr_t)map_get(box->word_index, words);
	if (have != 0)
		return (uint32_t)have;
	if (box->n_words == box->cap_words) {
		box->cap_words *= 2;
		box->words = must_realloc(
			box->words, box->cap_words * sizeof(*box->words));
	}
	box->words[box->n_words] = str_heap(words);
	map_set(box->word_index, words, (void *)(uintptr_t)box->n_words);
	return (uint32_t)box->n_words++;
}

static void make_room(struct box *box)
{
	if (box->n < box->cap)
		return;
	box->cap = box->cap > 0 ? box->cap * 2 : 64;
	box->rows = must_realloc(box->rows, box->cap * sizeof(*box->rows));
}

static bool take_row(const struct store_row *row, void *ctx)
{
	struct box *box = ctx;
	struct box_row r = {.uid = row->uid,
		.flags = row->flags,
		.keywords = intern(box, row->keywords),
		.size = row->size < UINT32_MAX ? (uint32_t)row->size
					       : UINT32_MAX,
		.received = row->received,
		.blob = row->blob,
		.stamp = row->stamp,
		.modseq = row->modseq};

	if (box->n > 0 && row->uid <= box->rows[box->n - 1].uid) {
		size_t i = box_lower(box, row->uid);

		/* Forgotten rows do not come back, and what is gone stays. */
		if (box->rows[i].uid == row->uid &&
			(box->rows[i].flags & ROW_GONE) == 0 &&
			box->rows[i].modseq != row->modseq) {
			box->rows[i] = r;
			if (row->modseq > box->changed)
				box->changed = row->modseq;
		}
		return true;
	}
	make_room(box);
	box->rows[box->n++] = r;
	return true;
}

static void insert_gone(
	struct box *box, size_t at, uint32_t uid, uint64_t modseq)
{
	if (box->n_gone == box->cap_gone) {
		box->cap_gone = box->cap_gone > 0 ? box->cap_gone * 2 : 16;
		box->gone = must_realloc(
			box->gone, box->cap_gone * sizeof(*box->gone));
	}
	memmove(box->gone + at + 1, box->gone + at,
		(box->n_gone - at) * sizeof(*box->gone));
	box->gone[at] = (struct box_gone){uid, modseq};
	if (box->n_gone == 0 || modseq < box->gone_oldest)
		box->gone_oldest = modseq;
	if (modseq > box->gone_newest)
		box->gone_newest = modseq;
	box->n_gone++;
}

static void take_vanished(uint32_t uid, uint64_t modseq, void *ctx)
{
	struct box *box = ctx;
	size_t i = box_lower(box, uid);

	/* What came and went since the last look, nobody was told of. */
	if (i == box->n || box->rows[i].uid != uid ||
		(box->rows[i].flags & ROW_GONE) != 0)
		return;
	insert_gone(box, box_gone_below(box, uid), uid, modseq);
	box->rows[i].flags |= ROW_GONE;
}

/* At the first look: sessions were told how many there are, so what went since
 * stands among the rows, too. */
static void collect_vanished(uint32_t uid, uint64_t modseq, void *ctx)
{
	struct box *box = ctx;

	insert_gone(box, box->n_gone, uid, modseq);
}

static int by_uid(const void *x, const void *y)
{
	const struct box_gone *a = x, *b = y;

	return sorted_by_u32(&a->uid, &b->uid);
}

/* From the end, so that each row moves once. */
static void merge_vanished(struct box *box)
{
	size_t rows = box->n, gone = box->n_gone, to = rows + gone, shared = 0;

	if (gone == 0)
		return;
	qsort(box->gone, gone, sizeof(*box->gone), by_uid);
	box->cap = to;
	box->rows = must_realloc(box->rows, to * sizeof(*box->rows));
	while (gone > 0) {
		const struct box_gone *g = &box->gone[gone - 1];

		if (rows > 0 && box->rows[rows - 1].uid > g->uid) {
			box->rows[--to] = box->rows[--rows];
			continue;
		}
		box->rows[--to] = (struct box_row){
			.uid = g->uid, .flags = ROW_GONE, .modseq = g->modseq};
		gone--;
		/* It went between the two looks. */
		if (rows > 0 && box->rows[rows - 1].uid == g->uid) {
			box->rows[to] = box->rows[--rows];
			box->rows[to].flags |= ROW_GONE;
			shared++;
		}
	}
	/* Between what stayed in front and what moved there is a gap, where
	 * some were both. */
	memmove(box->rows + rows, box->rows + to,
		(box->n + box->n_gone - to) * sizeof(*box->rows));
	box->n += box->n_gone - shared;
}

/* What all sessions have told their clients. */
static uint64_t told_by_all(struct boxes *b, struct box *box)
{
	uint64_t told = UINT64_MAX;

	pthread_mutex_lock(&b->lock);
	for (struct box_user *u = box->users; u != NULL; u = u->next) {
		uint64_t one = __atomic_load_n(&u->expunged, __ATOMIC_RELAXED);

		if (one < told)
			told = one;
	}
	pthread_mutex_unlock(&b->lock);
	return told;
}

/* Forgets what all have told: invariant 2. */
static void compact(struct boxes *b, struct box *box)
{
	uint64_t told = box->n_gone > 0 ? told_by_all(b, box) : 0;
	size_t n = 0;

	for (size_t i = 0; i < box->n_gone; i++)
		n += box->gone[i].modseq <= told;
	if (n == 0)
		return;
	n = 0;
	for (size_t i = 0; i < box->n; i++) {
		bool gone = (box->rows[i].flags & ROW_GONE) != 0;

		if (!gone || box_gone_at(box, box->rows[i].uid) > told)
			box->rows[n++] = box->rows[i];
	}
	box->n = n;
	n = 0;
	box->gone_oldest = UINT64_MAX;
	for (size_t i = 0; i < box->n_gone; i++)
		if (box->gone[i].modseq > told) {
			box->gone[n++] = box->gone[i];
			if (box->gone[i].modseq < box->gone_oldest)
				box->gone_oldest = box->gone[i].modseq;
		}
	box->n_gone = n;
}

static bool load(
	struct boxes *b, struct box *box, uint64_t now, struct fault *f)
{
	box->n = box->n_gone = 0;
	if (!store_rows(box->store, box->account, box->mailbox, 0, 0, take_row,
		    box, f) ||
		!store_vanished(box->store, box->account, box->mailbox,
			told_by_all(b, box), collect_vanished, box, f))
		return false;
	merge_vanished(box);
	for (size_t i = 0; i < box->n; i++)
		if (box->rows[i].modseq > box->changed)
			box->changed = box->rows[i].modseq;
	box->loaded = true;
	box->modseq = now;
	return true;
}

/* With the lock held for writing.  now: what the mailbox had just before. */
static bool catch_up(
	struct boxes *b, struct box *box, uint64_t now, struct fault *f)
{
	if (!box->loaded)
		return load(b, box, now, f);
	compact(b, box);
	/* Reading may find more than belongs to now: it is read again then,
	 * which changes nothing. */
	if (!store_vanished(box->store, box->account, box->mailbox, box->modseq,
		    take_vanished, box, f) ||
		!store_rows(box->store, box->account, box->mailbox, box->modseq,
			0, take_row, box, f))
		return false;
	box->modseq = now;
	return true;
}

bool box_refresh(
	struct boxes *b, struct box *box, bool *deleted_r, struct fault *f)
{
	struct store_mailbox m;
	bool ok = true;

	*deleted_r = false;
	if (!store_mailbox(box->store, box->account,
		    (struct store_which){.id = box->mailbox}, &m, f)) {
		*deleted_r = f->class == FAULT_PERM;
		return *deleted_r;
	}
	uint32_t none = 0;
	if (!__atomic_compare_exchange_n(&box->uidvalidity, &none,
		    m.uidvalidity, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED) &&
		none != m.uidvalidity) {
		*deleted_r = true;
		return true;
	}
	pthread_rwlock_rdlock(&box->lock);
	bool fresh = box->loaded && box->modseq >= m.modseq;
	pthread_rwlock_unlock(&box->lock);
	if (fresh)
		return true;
	pthread_rwlock_wrlock(&box->lock);
	if (!box->loaded || box->modseq < m.modseq)
		ok = catch_up(b, box, m.modseq, f);
	pthread_rwlock_unlock(&box->lock);
	return ok;
}
