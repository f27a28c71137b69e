/* SPDX-License-Identifier: ISC */
#ifndef CMD_QUEUE_CLIENT_H
#define CMD_QUEUE_CLIENT_H

/* Questions to a running queue role, for the commands. */

#include <jansson.h>

#include "conf/conf.h"
#include "ipc/messages.h"

/* what: IPC_QUEUE_LIST or IPC_QUEUE_SITES.  Calls fn for each message or site,
 * m as `postern queue list --json` or `sites --json` prints it.  False: the
 * queue does not answer. */
bool ask_queue_each(const struct conf *c, enum ipc_type what,
	void (*fn)(const json_t *m, void *ctx), void *ctx, struct fault *f);
/* Does it to one queue id, or to "ALL"; *n_r: to how many. */
bool ask_queue_act(const struct conf *c, enum queue_action action,
	const char *which, unsigned long long *n_r, struct fault *f);
/* A string member; "" without. */
const char *ask_queue_text(const json_t *j, const char *key);

#endif
