/* SPDX-License-Identifier: ISC */
#ifndef QUEUE_QUEUE_H
#define QUEUE_QUEUE_H

/*
 * queue: messages that wait for their recipients' ends, on disk.
 *
 * A function that returns true has its change on disk (group commit).  Any
 * thread may call.  Only the queue role opens it.
 */

#include "ipc/messages.h"

struct queue;

/* dir: $queue_directory/queue; made when missing. */
struct queue *queue_open(const char *dir, struct fault *f);
void queue_close(struct queue *q);

/* text: a file of it is linked where it can be; stays the caller's. */
bool queue_put(struct queue *q, const struct envelope *env,
	const struct text *text, struct fault *f);

enum rcpt_status { RCPT_WAITING, RCPT_DONE };

/* The changing part of a recipient. */
struct rcpt_state {
	uint32_t n;
	enum rcpt_status status;
	int64_t due; /* Unix seconds of the next try */
	uint32_t attempts;
	struct str reason; /* of the last deferral; absent: none yet */
};

/* A bounce, warning or success report that goes with a change. */
struct queue_report {
	struct envelope env;
	struct str body;
};

/*
 * The end of a delivery: new states, reports put, and where the message ends it
 * is taken away, all in one transaction.  All of it must stay until done is
 * called, maybe by another thread; see committer_post.
 */
struct queue_update {
	const struct envelope *env;
	const struct rcpt_state *v;
	uint32_t n;
	const struct queue_report *reports;
	uint32_t n_reports;
	bool ends;
	void (*done)(struct queue_update *u, bool ok, const struct fault *f);
	struct queue *q; /* queue_update's own */
};
void queue_update(struct queue *q, struct queue_update *u);

/* What a person, or we, said of a message as a whole. */
enum queue_mark {
	QUEUE_GOES,
	QUEUE_HELD,
	QUEUE_GIVEN_UP, /* ends at the next look, and the sender is told */
	QUEUE_CORRUPT, /* set aside as it is: its envelope does not read */
};

/* Of those that it concerns: held only what goes, released only what is held,
 * given up only what goes or is held.  *changed_r: how many. */
bool queue_set_mark(struct queue *q, const uint64_t *ids, size_t n,
	enum queue_mark mark, size_t *changed_r, struct fault *f);
bool queue_delete(struct queue *q, const uint64_t *ids, size_t n,
	size_t *changed_r, struct fault *f);
/* Other envelopes for those with their ids: all the recipients wait, from now;
 * who was held or given up goes. */
bool queue_replace(struct queue *q, const struct envelope *v, size_t n,
	int64_t now, struct fault *f);

/* The text of a message, the caller's. */
bool queue_text(
	struct queue *q, uint64_t id, struct text *text_r, struct fault *f);

struct queue_record {
	uint64_t id;
	enum queue_mark mark;
	struct envelope env; /* of a corrupt one the id alone */
	struct rcpt_state *v; /* one for each of env.rcpts */
};

enum queue_found { QUEUE_FOUND, QUEUE_NONE, QUEUE_FAULT };
/* One that does not read is found, as QUEUE_CORRUPT. */
enum queue_found queue_get(struct queue *q, uint64_t id, struct arena *a,
	struct queue_record *r_r, struct fault *f);
/* Oldest first, behind the id; at most max. */
bool queue_page(struct queue *q, uint64_t after, size_t max, struct arena *a,
	struct queue_record **v_r, size_t *n_r, struct fault *f);

/* When each message that is neither held nor corrupt is due next, as it was at
 * one moment. */
typedef void queue_due_f(uint64_t id, int64_t due, void *ctx);
bool queue_dues(struct queue *q, queue_due_f *fn, void *ctx, struct fault *f);

#endif
