/* SPDX-License-Identifier: ISC */
#ifndef CODEC_MAIL_DOWNGRADE_H
#define CODEC_MAIL_DOWNGRADE_H

/*
 * mail_downgrade: a message in the form that the next hop can take.
 *
 * RFC 3030 3 (BINARYMIME to a server without it), RFC 6152 3 (8BITMIME),
 * RFC 2045 6.4 (which bodies may be encoded)
 *
 * Leaves that do not fit are encoded and relabelled, containers relabelled;
 * everything else stays byte by byte, but for line ends, which all become
 * CRLF.  Pure; the output goes out in pieces, so that memory does not grow
 * with the message.
 */

#include "base/arena.h"

enum downgrade_to {
	DOWNGRADE_TO_8BIT, /* lines of at most 998 octets, no NUL */
	DOWNGRADE_TO_7BIT,
};

/* False ends the work: mail_downgrade returns DOWNGRADE_STOPPED. */
typedef bool downgrade_put_f(struct str piece, void *ctx);

enum downgrade_result {
	DOWNGRADE_OK,
	DOWNGRADE_STOPPED,
	DOWNGRADE_IMPOSSIBLE, /* it would break a signature, or a header field
			       * or a message part cannot be encoded: 5.6.3 */
};

enum downgrade_result mail_downgrade(struct str message, enum downgrade_to to,
	struct arena *a, downgrade_put_f *put, void *ctx);

#endif
