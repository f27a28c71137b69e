/* SPDX-License-Identifier: ISC */
#ifndef ROLE_MAILBOX_IMAP_VIEW_PRIVATE_H
#define ROLE_MAILBOX_IMAP_VIEW_PRIVATE_H

/* Shared by the files of view.h; all with the lock of the box held. */

#include "role/mailbox/imap/imap.h"

/* The client was told of what ended up to this MODSEQ. */
uint64_t view_told(const struct view *v);
/* Was it told of the end of this row? */
bool view_told_gone(const struct view *v, const struct box_row *row);
/* Rows before position pos that it knows as gone. */
size_t view_told_before(const struct view *v, size_t pos);
struct pick view_pick_of(
	const struct view *v, const struct box_row *row, uint32_t seq);

#endif
