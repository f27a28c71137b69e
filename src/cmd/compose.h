/* SPDX-License-Identifier: ISC */
#ifndef CMD_COMPOSE_H
#define CMD_COMPOSE_H

/*
 * compose: a message from what was typed.
 * RFC 5322 3.6 (fields), RFC 2045 to 2047 (MIME), RFC 2183, RFC 2231
 */

#include "base/arena.h"
#include "base/buf.h"
#include "base/fault.h"

struct compose {
	struct str from;
	struct strs to, cc; /* Bcc is not written */
	struct str subject;
	struct str text; /* UTF-8, any line ends */
	const char *attachments[64];
	size_t n_attachments;
};

bool compose_put(const struct compose *c, struct arena *a, struct buf *out,
	struct fault *f);

/* "Name <user@dom>, ..." to the bare addresses */
bool compose_addresses(struct str list, struct arena *a, struct strs *out);

#endif
