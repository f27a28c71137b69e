/* SPDX-License-Identifier: ISC */
#ifndef ROLE_REQUEUE_H
#define ROLE_REQUEUE_H

#include "role/role.h"

/* Into the queue, as a message of its own; on disk when it returns true.  Where
 * the envelope has a filter, that transport gets it, else the route of each
 * recipient. */
bool role_requeue(struct role *r, const struct envelope *e, struct str message,
	struct fault *f);

#endif
