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
 * The end of a delivery: new states, reports put, and with remove set the
 * message itself taken away, all in one transaction.
 */
bool queue_update(struct queue *q, uint64_t id, const struct rcpt_state *v,
	uint32_t n, const struct queue_report *reports, uint32_t n_reports,
	bool remove, struct fault *f);

bool queue_hold(struct queue *q, uint64_t id, bool hold, struct fault *f);
bool queue_delete(struct queue *q, uint64_t id, struct fault *f);

/* The text of a message, the caller's. */
bool queue_text(
	struct queue *q, uint64_t id, struct text *text_r, struct fault *f);

/* Everything there is, oldest first, for the start.  Views are good during
 * the call.  A record that does not read is told with env NULL. */
typedef void queue_each_f(uint64_t id, const struct envelope *env, bool hold,
	const struct rcpt_state *v, uint32_t n, void *ctx);
bool queue_each(struct queue *q, queue_each_f *fn, void *ctx, struct fault *f);

#endif
