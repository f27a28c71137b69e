/* SPDX-License-Identifier: ISC */
#ifndef ROLE_DOWNGRADE_FILE_H
#define ROLE_DOWNGRADE_FILE_H

/*
 * downgrade_file: mail_downgrade into a descriptor, which then stands at its
 * start.  The last line gets its end.  FAULT_PERM 5.6.3: it cannot be done.
 */

#include "base/fault.h"
#include "codec/mail/downgrade.h"

bool downgrade_to_file(struct str message, enum downgrade_to to,
	struct arena *a, int fd, uint64_t *size_r, struct fault *f);

#endif
