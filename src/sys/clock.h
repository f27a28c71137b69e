/* SPDX-License-Identifier: ISC */
#ifndef SYS_CLOCK_H
#define SYS_CLOCK_H

/* Time and chance, from the kernel.  Thread-safe. */

#include <stddef.h>
#include <stdint.h>

int64_t clock_unix(void); /* seconds since 1970 */
int64_t clock_unix_us(void);
int64_t clock_mono_us(void); /* never jumps */
/* The same for deadlines.  It is the kernel's last tick, up to 4 ms ago:
 * a mail asks for it forty times. */
int64_t clock_mono_ms(void);
int clock_zone_minutes(int64_t at); /* local zone, east of UTC */

void random_fill(void *p, size_t len);
uint64_t random_u64(void);

/*
 * A new id: microseconds since 1970 above 12 bits, so that ids sort by time.
 * They are the process's lane and a number, which makes each id above the last
 * one of its process and unlike those of processes with another lane.
 */
uint64_t id_new(void);
void id_lane(unsigned lane); /* of 64; by chance where nobody says */
enum { ID_TEXT = 14 };
/* 13 characters of 0-9 and consonants, NUL behind; and back. */
void id_text(uint64_t id, char out[ID_TEXT]);
#include "base/str.h"
bool id_parse(struct str s, uint64_t *id_r);

#endif
