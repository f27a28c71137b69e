/* SPDX-License-Identifier: ISC */
#ifndef POSTERN_CODEC_MAIL_URI_H
#define POSTERN_CODEC_MAIL_URI_H

#include "base/arena.h"
#include "base/str.h"

/* The percent encoding of a URI: RFC 3986 2.1.  The results live in a. */

/* All but the unreserved characters of 2.3 becomes "%XX". */
struct str uri_escape(struct str s, struct arena *a);

/* What is no escape, as in "100%", stays as it is; never fails. */
struct str uri_unescape(struct str s, struct arena *a);

#endif
