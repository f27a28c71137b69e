/* SPDX-License-Identifier: ISC */
#ifndef ROLE_MAILBOX_TEXT_OF_H
#define ROLE_MAILBOX_TEXT_OF_H

/*
 * text_of: what SEARCH looks into, folded by casemap: once for the search that
 * reads a message and for the index, so that the one never finds what the
 * other has not.
 */

#include "codec/mail/mime.h"

/* The headers of the message and of its parts, as they stand and decoded. */
void text_of_headers(
	const struct mime_part *root, struct arena *a, struct buf *out);
/* The text parts, decoded. */
void text_of_body(const struct mime_part *root, struct buf *out);

#endif
