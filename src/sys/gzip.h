/* SPDX-License-Identifier: ISC */
#ifndef SYS_GZIP_H
#define SYS_GZIP_H

/*
 * gzip: files that were made small.  RFC 1952, and the first file of a ZIP
 * archive.  By zlib.  Nothing grows beyond the maximum of the buffer.
 */

#include "base/buf.h"

bool gzip_pack(struct str in, struct buf *out);
/* gzip, ZIP, or neither: then it is copied.  False: broken, or too large. */
bool gzip_unpack(struct str in, struct buf *out);

#endif
