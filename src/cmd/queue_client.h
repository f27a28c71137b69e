/* SPDX-License-Identifier: ISC */
#ifndef CMD_QUEUE_CLIENT_H
#define CMD_QUEUE_CLIENT_H

/* Questions to a running queue role, for the commands. */

#include <jansson.h>

#include "conf/conf.h"
#include "ipc/messages.h"

/* Calls fn for each message that is like that, m as `postern queue list --json`
 * prints it.  False: the queue does not answer, or not to all. */
bool ask_queue_each(const struct conf *c, const struct queue_request *r,
	void (*fn)(const json_t *m, void *ctx), void *ctx, struct fault *f);
/* The same for sites, as `postern queue sites --json` prints them. */
bool ask_queue_sites(const struct conf *c,
	void (*fn)(const json_t *site, void *ctx), void *ctx, struct fault *f);
struct queue_done {
	unsigned long long n; /* messages that it was done to */
	unsigned long long busy; /* that an agent has in its hands */
};
bool ask_queue_act(const struct conf *c, const struct queue_request *r,
	struct queue_done *done_r, struct fault *f);
/* Tries what waits for a domain, "@domain": and all below it. */
bool ask_queue_flush_site(const struct conf *c, const char *domain,
	unsigned long long *n_r, struct fault *f);
/* A queue id, or "ALL"; false with the fault. */
bool ask_queue_id(const char *which, uint64_t *id_r, struct fault *f);
/* A string member; "" without. */
const char *ask_queue_text(const json_t *j, const char *key);

#endif
