/* SPDX-License-Identifier: ISC */
#ifndef CMD_QUEUE_SELECT_H
#define CMD_QUEUE_SELECT_H

/* Which messages of the queue a command is about, by its options. */

#include "ipc/queue_request.h"

/* "--sender" and its kin; false: not one of them, or a bad value. */
bool queue_select_option(
	struct queue_request *r, const char *name, const char *value);
/* Is any of them set? */
bool queue_select_any(const struct queue_request *r);

#endif
