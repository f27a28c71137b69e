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
#include "store/message.h"

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
	struct {
		uint32_t uid;
		int64_t blob;
	} v[BATCH];
	size_t n;
};

static bool take_row(const struct store_row *row, void *ctx)
{
	struct batch *b = ctx;

	b->v[b->n].uid = row->uid;
	b->v[b->n++].blob = row->blob;
	return b->n < BATCH;
}

/* The work on one account. */
struct account_work {
	struct indexer *x;
	struct fts *fts;
	int64_t account;
	bool unread; /* the store failed, not the index, and why */
	struct fault why;
};

static bool add_message(
	struct account_work *w, int64_t mailbox, uint32_t uid, struct fault *f)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct buf header CLEANUP(buf_fini);
	struct buf body CLEANUP(buf_fini);
	struct store_message m;

	if (!store_message(w->x->store, w->account, mailbox, uid, STORE_BYTES,
		    &m, &w->why)) {
		w->unread =
			w->why.class != FAULT_PERM; /* else gone meanwhile */
		return true;
	}
	buf_init(&header, TEXT_MAX);
	buf_init(&body, TEXT_MAX);
	const struct mime_part *root = mime_parse(m.bytes, a);
	text_of_headers(root, a, &header);
	text_of_body(root, &body);
	bool ok = fts_add(w->fts, m.blob, buf_str(&header), buf_str(&body), f);
	store_message_fini(&m);
	return ok;
}

/* Up to the first that cannot be read: searches look at that one and what
 * follows themselves, and say what they cannot read. */
static bool add_batch(struct account_work *w, int64_t mailbox,
	const struct batch *b, struct fault *f)
{
	uint32_t last = 0;

	if (!fts_begin(w->fts, f))
		return false;
	for (size_t i = 0; i < b->n && !w->unread; i++) {
		if (!add_message(w, mailbox, b->v[i].uid, f))
			return false;
		if (!w->unread)
			last = b->v[i].uid;
	}
	return (last == 0 || fts_mark(w->fts, mailbox, last, f)) &&
	       fts_commit(w->fts, f);
}

/* The next messages of a mailbox; *more_r: there were some. */
static bool index_batch(
	struct account_work *w, int64_t mailbox, bool *more_r, struct fault *f)
{
	struct batch *b = must_alloc(sizeof(*b));
	uint32_t marked;
	bool ok = fts_marked(w->fts, mailbox, &marked, f);

	w->unread |= ok && !store_rows(w->x->store, w->account, mailbox, 0,
				   marked + 1, take_row, b, &w->why);
	*more_r = b->n == BATCH;
	if (ok && !w->unread && b->n > 0)
		ok = add_batch(w, mailbox, b, f);
	free(b);
	return ok;
}

static bool index_account(struct account_work *w, struct fault *f)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct store_mailbox *boxes;
	size_t n;

	if (!store_mailboxes(
		    w->x->store, w->account, a, &boxes, &n, NULL, &w->why)) {
		w->unread = true;
		return true;
	}
	for (size_t i = 0; i < n; i++)
		for (bool more = true; more && !w->unread;)
			if (!index_batch(w, boxes[i].id, &more, f))
				return false;
	return true;
}

/* False: the file is no good. */
static bool try_work(struct indexer *x, const struct work *w, bool make)
{
	struct fault f;
	struct account_work j = {.x = x, .account = w->account};

	j.fts = fts_open(x->dir, w->account, make, &f);
	bool ok = j.fts != NULL ? index_account(&j, &f)
				: f.class == FAULT_PERM; /* nobody wants it */
	if (!ok || j.unread)
		log_warn("search index", log_n("account", w->account),
			log_fault(ok ? &j.why : &f));
	fts_close(j.fts);
	return ok;
}

static void do_work(struct indexer *x, const struct work *w)
{
	/* What was there and broke is made anew. */
	for (int round = 0; round < 2; round++) {
		if (try_work(x, w, w->make || round > 0))
			return;
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
