/* SPDX-License-Identifier: ISC */
#ifndef CODEC_MAIL_DATE_H
#define CODEC_MAIL_DATE_H

/*
 * Dates: RFC 5322 3.3 and 4.3 (obsolete zones), RFC 9051 9 (date-time),
 * RFC 3339 5.6.
 * Times are Unix seconds.  Pure: the zone is a parameter.
 */

#include "base/buf.h"

/* "Mon, 23 Nov 2026 14:50:00 +0000"; zone in minutes east of UTC */
void mail_date_put(int64_t at, int zone_minutes, struct buf *out);
/* Reads a Date field, lenient about the day name and old zones. */
bool mail_date_parse(struct str value, int64_t *at_r, int *zone_minutes_r);

/* "23-Nov-2026 14:50:00 +0000", the day padded with a blank */
void imap_date_put(int64_t at, struct buf *out);
/* dd-Mon-yyyy hh:mm:ss +zzzz, without its quotes */
bool imap_date_parse(struct str s, int64_t *at_r);
/* d-Mon-yyyy of SEARCH: the first second of that day, UTC */
bool imap_day_parse(struct str s, int64_t *at_r);

/* "2026-11-23T14:50:00Z" */
void internet_date_put(int64_t at, struct buf *out);
/* The same, or with a zone "+01:00", or fractions of a second. */
bool internet_date_parse(struct str s, int64_t *at_r);

#endif
