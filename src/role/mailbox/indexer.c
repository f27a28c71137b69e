/* SPDX-License-Identifier: ISC */
#include "role/mailbox/indexer.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/must.h"
#include "role/mailbox/text_of.h"

enum {
	SEARCHED_MIN = 100, /* messages: below, reading them is as fast */
	BATCH = 200, /* messages in one transaction */
	LENT_MAX = 16, /* open for searches at a time */
	TEXT_MAX = 128 << 20,
};

struct lent_index {
	int64_t account;
	struct fts *fts;
	bool busy;
	int64_t used_at;
};

struct work {
	int64_t account;
	bool make; /* also where there is none yet */
	struct work *next;
};

struct indexer {
	struct store *store;
	const char *dir;
	bool always;
	/* Accounts that have, or will have, an index: to their work that waits,
	 * or to x. */
	struct map *indexed;
	pthread_mutex_t lock;
	pthread_cond_t news;
	struct work *first, **last;
	struct lent_index lent[LENT_MAX];
	pthread_t thread;
};

/* ---- the thread ---- */

struct batch {
	struct fts *fts;
	struct {
		uint32_t uid;
		int64_t blob;
	} v[BATCH];
	size_t n;
};

static void take_row(const struct store_row *row, void *ctx)
{
	struct batch *b = ctx;

	if (b->n == BATCH)
		return;
	b->v[b->n].uid = row->uid;
	b->v[b->n++].blob = row->blob;
}

static bool add_message(struct indexer *x, struct fts *fts, int64_t account,
	int64_t mailbox, uint32_t uid, struct fault *f)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct buf header CLEANUP(buf_fini);
	struct buf body CLEANUP(buf_fini);
	struct store_message m;

	if (!store_message(x->store, account, mailbox, uid, STORE_BYTES, &m, f))
		return f->class == FAULT_PERM; /* gone meanwhile */
	buf_init(&header, TEXT_MAX);
	buf_init(&body, TEXT_MAX);
	const struct mime_part *root = mime_parse(m.bytes, a);
	text_of_headers(root, a, &header);
	text_of_body(root, &body);
	bool ok = fts_add(fts, m.blob, buf_str(&header), buf_str(&body), f);
	store_message_fini(&m);
	return ok;
}

/* The next messages of a mailbox; *more_r: there were some. */
static bool index_batch(struct indexer *x, struct fts *fts, int64_t account,
	int64_t mailbox, bool *more_r, struct fault *f)
{
	struct batch *b = must_alloc(sizeof(*b));
	uint32_t marked;
	bool ok = fts_marked(fts, mailbox, &marked, f) &&
		  store_rows(x->store, account, mailbox, 0, marked + 1,
			  take_row, b, f);

	*more_r = ok && b->n == BATCH;
	if (ok && b->n > 0) {
		ok = fts_begin(fts, f);
		for (size_t i = 0; ok && i < b->n; i++)
			ok = add_message(
				x, fts, account, mailbox, b->v[i].uid, f);
		ok = ok && fts_mark(fts, mailbox, b->v[b->n - 1].uid, f) &&
		     fts_commit(fts, f);
	}
	free(b);
	return ok;
}

static bool index_account(
	struct indexer *x, struct fts *fts, int64_t account, struct fault *f)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct store_mailbox *boxes;
	size_t n;

	if (!store_mailboxes(x->store, account, a, &boxes, &n, f))
		return false;
	for (size_t i = 0; i < n; i++)
		for (bool more = true; more;)
			if (!index_batch(
				    x, fts, account, boxes[i].id, &more, f))
				return false;
	return true;
}

/* False: the file is no good. */
static bool try_work(
	struct indexer *x, const struct work *w, bool make, struct fault *f)
{
	struct fts *fts = fts_open(x->dir, w->account, make, f);

	if (fts == NULL)
		return f->class == FAULT_PERM; /* nobody wants it */
	bool ok = index_account(x, fts, w->account, f);
	fts_close(fts);
	return ok;
}

static void do_work(struct indexer *x, const struct work *w)
{
	struct fault f;

	/* What was there and broke is made anew. */
	for (int round = 0; round < 2; round++) {
		if (try_work(x, w, w->make || round > 0, &f))
			return;
		log_warn("search index", log_n("account", w->account),
			log_fault(&f));
		fts_remove(x->dir, w->account);
	}
}

static struct str key_of(const int64_t *account)
{
	return str_of(account, sizeof(*account));
}

static struct work *next_work(struct indexer *x)
{
	pthread_mutex_lock(&x->lock);
	while (x->first == NULL)
		pthread_cond_wait(&x->news, &x->lock);
	struct work *w = x->first;
	x->first = w->next;
	if (x->first == NULL)
		x->last = &x->first;
	map_set(x->indexed, key_of(&w->account), x);
	pthread_mutex_unlock(&x->lock);
	return w;
}

static void *run(void *ctx)
{
	struct indexer *x = ctx;

	for (;;) {
		struct work *w = next_work(x);

		do_work(x, w);
		free(w);
	}
	return NULL;
}

/* Those of the last run. */
static void find_indexed(struct indexer *x)
{
	char path[4096];
	DIR *d;

	snprintf(path, sizeof(path), "%s/fts", x->dir);
	d = opendir(path);
	for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
		char *end;
		int64_t account = (int64_t)strtoull(e->d_name, &end, 16);

		if (end != e->d_name && strcmp(end, ".db") == 0)
			map_set(x->indexed, key_of(&account), x);
	}
	if (d != NULL)
		closedir(d);
}

struct indexer *indexer_new(struct store *store, const struct conf *c)
{
	struct indexer *x;

	if (str_ieqc(c->mailbox_search_index, "no"))
		return NULL;
	x = must_alloc(sizeof(*x));
	x->store = store;
	x->dir = str_heap(c->mail_storage_directory);
	x->always = str_ieqc(c->mailbox_search_index, "always");
	x->indexed = map_new();
	find_indexed(x);
	x->last = &x->first;
	pthread_mutex_init(&x->lock, NULL);
	pthread_cond_init(&x->news, NULL);
	must(pthread_create(&x->thread, NULL, run, x) == 0);
	pthread_detach(x->thread);
	return x;
}

/* make: also for an account that has no index yet.  The others cost a
 * delivery a look into the map. */
static void add_work(struct indexer *x, int64_t account, bool make)
{
	pthread_mutex_lock(&x->lock);
	void *known = map_get(x->indexed, key_of(&account));
	if (known != NULL && known != x) {
		struct work *waits = known;

		waits->make |= make;
	} else if (known == x || make) {
		struct work *w = must_alloc(sizeof(*w));

		w->account = account;
		w->make = make;
		*x->last = w;
		x->last = &w->next;
		map_set(x->indexed, key_of(&account), w);
		pthread_cond_signal(&x->news);
	}
	pthread_mutex_unlock(&x->lock);
}

void indexer_note(struct indexer *x, int64_t account)
{
	if (x != NULL)
		add_work(x, account, x->always);
}

void indexer_wanted(struct indexer *x, int64_t account, size_t messages)
{
	if (x != NULL && messages >= SEARCHED_MIN)
		add_work(x, account, true);
}

/* ---- lending ---- */

/* With the lock held: one that is open for the account, or a free place; NULL
 * where all are busy. */
static struct lent_index *place_for(struct indexer *x, int64_t account)
{
	struct lent_index *oldest = NULL;

	for (size_t i = 0; i < LENT_MAX; i++) {
		struct lent_index *l = &x->lent[i];

		if (l->busy)
			continue;
		if (l->fts != NULL && l->account == account)
			return l;
		if (oldest == NULL || l->used_at < oldest->used_at)
			oldest = l;
	}
	return oldest;
}

struct lent_index *indexer_lend(struct indexer *x, int64_t account,
	int64_t mailbox, struct fts **fts_r, uint32_t *marked_r)
{
	struct fault f;

	if (x == NULL)
		return NULL;
	pthread_mutex_lock(&x->lock);
	struct lent_index *l = place_for(x, account);
	if (l != NULL) {
		l->busy = true;
		l->used_at = clock_mono_ms();
	}
	pthread_mutex_unlock(&x->lock);
	if (l == NULL)
		return NULL;
	if (l->fts == NULL || l->account != account) {
		fts_close(l->fts);
		l->account = account;
		l->fts = fts_open(x->dir, account, false, &f);
	}
	*fts_r = l->fts;
	if (l->fts != NULL && fts_marked(l->fts, mailbox, marked_r, &f))
		return l;
	indexer_return(x, l, l->fts != NULL);
	return NULL;
}

void indexer_return(struct indexer *x, struct lent_index *l, bool broken)
{
	if (broken) {
		fts_close(l->fts);
		l->fts = NULL;
		fts_remove(x->dir, l->account);
		add_work(x, l->account, true);
	}
	pthread_mutex_lock(&x->lock);
	l->busy = false;
	pthread_mutex_unlock(&x->lock);
}
