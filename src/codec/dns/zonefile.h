/* SPDX-License-Identifier: ISC */
#ifndef CODEC_DNS_ZONEFILE_H
#define CODEC_DNS_ZONEFILE_H

/*
 * Lines of a zone file: RFC 1035 5.1.  Pure.
 */

#include "base/buf.h"

/* "name. 3600 IN TYPE data\n"; name without its final dot. */
void zonefile_put(struct buf *out, struct str name, unsigned ttl,
	const char *type, struct str data);
/* TXT: cut into strings of 255 bytes, quoted and escaped. */
void zonefile_put_txt(
	struct buf *out, struct str name, unsigned ttl, struct str text);

#endif
