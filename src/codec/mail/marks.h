/* SPDX-License-Identifier: ISC */
#ifndef CODEC_MAIL_MARKS_H
#define CODEC_MAIL_MARKS_H

/* What a file format says of a message besides its bytes: RFC 9051 2.3.2, and
 * $Forwarded of the IANA registry. */

#include <stdbool.h>

struct marks {
	bool seen, answered, flagged, deleted, draft, forwarded;
};

#endif
