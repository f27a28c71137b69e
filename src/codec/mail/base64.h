/* SPDX-License-Identifier: ISC */
#ifndef CODEC_MAIL_BASE64_H
#define CODEC_MAIL_BASE64_H

/* base64 by RFC 4648 4, strict for protocols, lenient for MIME bodies. */

#include "base/arena.h"
#include "base/buf.h"

void base64_encode(struct str in, struct buf *out);
struct str base64_encode_a(struct str in, struct arena *a);
/* Lines of 76 characters, each ended by CRLF: RFC 2045 6.8 */
void base64_encode_lines(struct str in, struct buf *out);
/* Padding and alphabet exact, nothing else allowed. */
bool base64_decode(struct str in, struct arena *a, struct str *out_r);
/* RFC 2045 6.8: bytes outside of the alphabet are skipped. */
void base64_decode_body(struct str in, struct buf *out);

/* quoted-printable, RFC 2045 6.7: text lines in, "=" escapes out. */
void qp_encode(struct str in, struct buf *out);
void qp_decode(struct str in, struct buf *out);

#endif
