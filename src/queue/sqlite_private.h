/* SPDX-License-Identifier: ISC */
#ifndef QUEUE_SQLITE_PRIVATE_H
#define QUEUE_SQLITE_PRIVATE_H

/* Shared by sqlite.c, which writes, and sqlite_read.c. */

#include "db/db.h"
#include "queue/queue.h"

struct queue {
	char *dir;
	struct committer *committer;
	struct readers *readers;
};

/* Of the file with a large body. */
void queue_body_path(const struct queue *q, uint64_t id, char *out, size_t len);

#endif
