/* SPDX-License-Identifier: ISC */
#ifndef STORE_UNDELETE_H
#define STORE_UNDELETE_H

#include "base/fault.h"

/* Brings back what an account expunged after since (Unix seconds) and what is
 * kept of that: into its mailbox, or the INBOX where that is gone, under new
 * UIDs.  Beside a running server, in parts: where it fails, *n_r are back. */
bool store_undelete(const char *dir, int64_t account, int64_t since,
	uint64_t *n_r, struct fault *f);

#endif
