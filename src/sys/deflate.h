/* SPDX-License-Identifier: ISC */
#ifndef SYS_DEFLATE_H
#define SYS_DEFLATE_H

/*
 * deflate: a connection's two directions, compressed.  RFC 4978 3, RFC 1951
 * (raw deflate).  What comes out of one call is bounded by its caller, however
 * well the peer packed it.  One thread at a time.
 */

#include "base/buf.h"

struct deflate;

struct deflate *deflate_new(void);
void deflate_free(struct deflate *d); /* NULL is fine */

/* Appends the packed form of data, to its last byte. */
void deflate_pack(struct deflate *d, struct str data, struct buf *out);

/* What came from the peer; kept until it is unpacked. */
void deflate_feed(struct deflate *d, struct str packed);
/* Unpacks at most room bytes to to; 0: it needs more. */
size_t deflate_unpack(struct deflate *d, char *to, size_t room);
/* Would deflate_unpack find something without more? */
bool deflate_pending(const struct deflate *d);
/* What was fed and not unpacked. */
struct str deflate_rest(const struct deflate *d);
bool deflate_failed(const struct deflate *d); /* the peer sent no deflate */

#endif
