/* SPDX-License-Identifier: ISC */
#ifndef CMD_QUEUE_SELECT_H
#define CMD_QUEUE_SELECT_H

/* Which messages of the queue a command is about. */

#include <jansson.h>

#include "base/str.h"

/* Absent members do not choose.  An address, or "@domain". */
struct queue_select {
	struct str sender, recipient;
	struct str reason; /* a part of it, any case */
	int64_t older_than; /* seconds */
};

/* "--sender" and its kin; false: not one of them, or a bad value. */
bool queue_select_option(
	struct queue_select *s, const char *name, const char *value);
bool queue_select_any(const struct queue_select *s);
/* m: as `postern queue list --json` prints it. */
bool queue_select_has(const struct queue_select *s, const json_t *m);

#endif
