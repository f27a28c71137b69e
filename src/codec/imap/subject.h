/* SPDX-License-Identifier: ISC */
#ifndef CODEC_IMAP_SUBJECT_H
#define CODEC_IMAP_SUBJECT_H

/*
 * base_subject: what SORT and THREAD compare subjects by: "Re:", "[list]",
 * "(fwd)" and their like removed.  RFC 5256 2.1.  Pure.
 */

#include "base/arena.h"

/* text: decoded and unfolded.  *reply_r: was it a reply or a forward?  The
 * result is folded by casemap. */
struct str base_subject(struct str text, struct arena *a, bool *reply_r);

#endif
