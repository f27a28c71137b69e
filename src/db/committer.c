/* SPDX-License-Identifier: ISC */
/*
 * Group commit.
 *
 * There is no writer thread: who comes while nobody writes leads, and commits
 * for all that wait by then.  Before it returns it hands the lead on to the
 * first of those that came in the meantime, and wakes each of its own batch
 * alone: nobody wakes for the work of others.
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>

#include "base/must.h"
#include "db/db.h"
#include "sys/waiting.h"

struct work {
	db_work_f *fn;
	void *ctx;
	struct fault *fault;
	bool ok; /* until it fails, or its batch does */
	bool tidy;
	bool begun; /* it was run */
	bool leads; /* turn has come to lead; else it is done */
	sem_t turn;
	db_done_f *done; /* nobody waits: told by this; the work is our own */
	struct fault own_fault;
	struct work *next;
};

struct committer {
	struct db *db;
	pthread_mutex_t lock;
	struct work *first; /* who waits for the next batch */
	struct work **last;
	bool busy; /* somebody leads */
	bool posted; /* the keeper runs: somebody posts */
	bool ending;
	pthread_t keeper;
	sem_t only_posted; /* waits, and the keeper is to lead */
};

/* Once more, after the batch was rolled back: work that is not tidy, and may
 * have left traces in its caller's memory, is not run twice. */
static bool is_spent(struct work *w, bool again)
{
	bool spent = again && w->begun && !w->tidy;

	if (spent && w->ok)
		w->ok = fault_set(w->fault, FAULT_TEMP, 451, 3, 0,
			"storage: the work of another one failed halfway");
	return spent;
}

/* False: the batch cannot be committed.  savepoint: a failure costs this work
 * alone, whatever it changed before. */
static bool run_one(struct db *db, struct work *w, bool savepoint)
{
	int64_t before = db_total_changes(db);
	struct fault ignored;

	w->begun = true;
	w->ok = (!savepoint || db_run(db, w->fault, "SAVEPOINT work", "")) &&
		w->fn(db, w->ctx, w->fault);
	/* A savepoint would begin a transaction of its own then. */
	if (!db_in_transaction(db))
		return false;
	if (!savepoint)
		return w->ok || db_total_changes(db) == before;
	if (!w->ok)
		db_run(db, &ignored, "ROLLBACK TO work", "");
	if (!db_run(db, w->ok ? w->fault : &ignored, "RELEASE work", ""))
		w->ok = false;
	return true;
}

static bool run_all(
	struct db *db, struct work *batch, bool again, struct fault *f)
{
	if (!db_run(db, f, "BEGIN IMMEDIATE", ""))
		return false;
	for (struct work *w = batch; w != NULL; w = w->next) {
		if (is_spent(w, again) || run_one(db, w, again || !w->tidy))
			continue;
		if (w->ok)
			return fault_set(f, FAULT_TEMP, 451, 3, 0,
				"storage: the transaction has ended");
		*f = *w->fault;
		return false;
	}
	return db_run(db, f, "COMMIT", "");
}

static void roll_back(struct db *db)
{
	struct fault ignored;

	if (db_in_transaction(db))
		db_exec(db, "ROLLBACK", &ignored);
}

/* Did tidy work fail behind a change, with everybody's transaction there? */
static bool half_done(struct db *db, const struct work *batch)
{
	bool failed = false;

	for (const struct work *w = batch; w != NULL; w = w->next)
		failed |= w->tidy && w->begun && !w->ok;
	return failed && db_in_transaction(db);
}

static void run_batch(struct db *db, struct work *batch)
{
	struct fault f;
	bool ok = run_all(db, batch, false, &f);

	/* A page that is damaged costs whose it is, not the neighbours. */
	if (!ok && half_done(db, batch)) {
		roll_back(db);
		ok = run_all(db, batch, true, &f);
	}
	if (ok)
		return;
	roll_back(db);
	for (struct work *w = batch; w != NULL; w = w->next) {
		if (w->ok)
			*w->fault = f;
		w->ok = false;
	}
}

struct committer *committer_new(struct db *db)
{
	struct committer *c = must_alloc(sizeof(*c));

	c->db = db;
	c->last = &c->first;
	sem_init(&c->only_posted, 0, 0);
	pthread_mutex_init(&c->lock, NULL);
	return c;
}

void committer_free(struct committer *c)
{
	if (c == NULL)
		return;
	must(!c->busy);
	c->ending = true;
	if (c->posted && sem_post(&c->only_posted) == 0)
		pthread_join(c->keeper, NULL);
	db_close(c->db);
	sem_destroy(&c->only_posted);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static struct work *take_batch(struct committer *c)
{
	pthread_mutex_lock(&c->lock);
	struct work *batch = c->first;
	c->first = NULL;
	c->last = &c->first;
	pthread_mutex_unlock(&c->lock);
	return batch;
}

/* To the first that waits; to the keeper where only work waits of which nobody
 * does. */
static void hand_lead_on(struct committer *c)
{
	pthread_mutex_lock(&c->lock);
	struct work *next = c->first;
	c->busy = next != NULL;
	while (next != NULL && next->done != NULL)
		next = next->next;
	if (next != NULL) {
		next->leads = true;
		sem_post(&next->turn);
	} else if (c->busy) {
		sem_post(&c->only_posted);
	}
	pthread_mutex_unlock(&c->lock);
}

static void tell(struct work *batch, const struct work *own)
{
	struct work *told = NULL;

	/* Who waits first: the others take their time. */
	for (struct work *w = batch, *next; w != NULL; w = next) {
		next = w->next; /* w ends with its turn */
		if (w->done != NULL) {
			w->next = told;
			told = w;
		} else if (w != own) {
			sem_post(&w->turn);
		}
	}
	for (struct work *w = told, *next; w != NULL; w = next) {
		next = w->next;
		w->done(w->ctx, w->ok, w->fault);
		free(w);
	}
}

static void lead(struct committer *c, const struct work *own)
{
	struct work *batch = take_batch(c);

	run_batch(c->db, batch);
	hand_lead_on(c);
	tell(batch, own);
}

static void *keep(void *arg)
{
	struct committer *c = arg;

	for (;;) {
		if (sem_wait(&c->only_posted) != 0)
			continue; /* a signal */
		if (c->ending)
			return NULL;
		lead(c, NULL);
	}
}

/* True: the caller leads. */
static bool line_up(struct committer *c, struct work *w)
{
	pthread_mutex_lock(&c->lock);
	*c->last = w;
	c->last = &w->next;
	bool first = !c->busy;
	c->busy = true;
	if (w->done != NULL && !c->posted)
		c->posted = pthread_create(&c->keeper, NULL, keep, c) == 0;
	must(w->done == NULL || c->posted);
	pthread_mutex_unlock(&c->lock);
	return first;
}

static bool run(struct committer *c, bool tidy, db_work_f *work, void *ctx,
	struct fault *f)
{
	struct work w = {
		.fn = work, .ctx = ctx, .ok = true, .tidy = tidy, .fault = f};

	sem_init(&w.turn, 0, 0);
	/* Who leads does the work of many. */
	waiting_begin();
	bool first = line_up(c, &w);
	while (!first && sem_wait(&w.turn) != 0)
		continue; /* a signal */
	if (first || w.leads)
		lead(c, &w);
	waiting_end();
	sem_destroy(&w.turn);
	return w.ok;
}

bool committer_run(
	struct committer *c, db_work_f *work, void *ctx, struct fault *f)
{
	return run(c, false, work, ctx, f);
}

bool committer_run_tidy(
	struct committer *c, db_work_f *work, void *ctx, struct fault *f)
{
	return run(c, true, work, ctx, f);
}

void committer_post(struct committer *c, unsigned how, db_work_f *work,
	void *ctx, db_done_f *done)
{
	struct work *w = must_alloc(sizeof(*w));

	w->fn = work;
	w->ctx = ctx;
	w->ok = true;
	w->tidy = (how & POST_TIDY) != 0;
	w->done = done;
	w->fault = &w->own_fault;
	if (!line_up(c, w))
		return;
	if ((how & POST_LATER) != 0)
		sem_post(&c->only_posted);
	else
		lead(c, NULL);
}
