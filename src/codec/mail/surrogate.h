/* SPDX-License-Identifier: ISC */
#ifndef CODEC_MAIL_SURROGATE_H
#define CODEC_MAIL_SURROGATE_H

/*
 * mail_surrogate: a message with UTF-8 in its header, for a client that did not
 * say that it takes it.
 *
 * RFC 6858 2 (simplified downgrading), RFC 6856 2.1
 *
 * Names and the subject become encoded words; an address that is not ASCII one
 * that nobody has, with the address as its name; parameters that are not ASCII
 * go, and so do other such fields; the same in the headers of parts.  Bodies
 * stay.  A header that is neither ASCII nor UTF-8 is older than all this, and
 * stays as well.  Pure.
 */

#include "base/arena.h"

/* The message itself where nothing is to be done, else in the arena. */
struct str mail_surrogate(struct str message, struct arena *a);

#endif
