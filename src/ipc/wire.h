/* SPDX-License-Identifier: ISC */
#ifndef IPC_WIRE_H
#define IPC_WIRE_H

/*
 * wire: numbers and strings of a message between roles, little endian.
 * Reading is sticky: after the first short or wrong field everything is zero
 * and wire_ok says no.  Views point into the message.
 */

#include "base/arena.h"
#include "base/buf.h"

void wire_put_u8(struct buf *b, uint8_t v);
void wire_put_u32(struct buf *b, uint32_t v);
void wire_put_u64(struct buf *b, uint64_t v);
void wire_put_str(struct buf *b, struct str s); /* absent stays absent */

struct wire {
	struct str rest;
	bool bad;
};
uint8_t wire_u8(struct wire *w);
uint32_t wire_u32(struct wire *w);
uint64_t wire_u64(struct wire *w);
struct str wire_str(struct wire *w);
/* A count of things that each take at least min bytes. */
uint32_t wire_count(struct wire *w, size_t min_bytes);
bool wire_ok(const struct wire *w); /* nothing wrong, nothing left */

#endif
