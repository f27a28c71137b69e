/* SPDX-License-Identifier: ISC */
#ifndef CONF_QUOTA_H
#define CONF_QUOTA_H

#include "base/str.h"

/* "10G", "500M 20000": bytes (K, M, G, T), then messages; 0: no limit.  The
 * value of mailbox_quota and of its tables. */
bool quota_parse(struct str text, uint64_t *bytes_r, uint64_t *messages_r);

#endif
