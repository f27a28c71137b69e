/* SPDX-License-Identifier: ISC */
#ifndef ROLE_QUEUE_STATUS_FILTER_H
#define ROLE_QUEUE_STATUS_FILTER_H

/*
 * status_filter: default_delivery_status_filter of postconf(5) and its kin of
 * smtp, lmtp, local, virtual and pipe: tables that give what became of a
 * delivery another status or other words.  Asked with "5.7.1 what was said",
 * they answer in the same form; a success stays one, and a failure a failure.
 */

#include "role/role.h"

struct status_filters;

/* Before the sandbox; lives as long as the role. */
struct status_filters *status_filters_new(struct role *r);
/* via: "transport:nexthop", or empty where no agent had it.  What is changed is
 * logged under the id of the message. */
void status_filter(const struct status_filters *f, uint64_t id, struct str via,
	struct outcome_of *o, struct arena *a);

#endif
