/* SPDX-License-Identifier: ISC */
#ifndef POLICY_SOURCES_H
#define POLICY_SOURCES_H

/*
 * sources: the addresses that mail goes out from, smtp_source_addresses, by
 * weight; and how much a new one may carry while the world gets to know it,
 * smtp_source_warmup.
 *
 * Decides only: who counts what went out passes the counts in.
 */

#include "conf/conf.h"

enum { SOURCES_MAX = 256 };

struct source {
	struct str address; /* as written */
	bool six; /* IPv6 */
	unsigned weight;
	int64_t warmup; /* day it began to be used, since 1970; 0: known */
	struct str helo; /* name in EHLO; absent: as of all */
};

struct sources {
	struct source *v;
	size_t n;
	uint32_t *schedule; /* mails on its first day, second day, ... */
	size_t n_schedule;
};

/* False: *what_r is the part that is wrong, *why_r what to write. */
bool sources_parse(const struct conf *c, struct arena *a, struct sources *s_r,
	struct str *what_r, const char **why_r);

/* Mails that it may carry on that day; UINT32_MAX: no bound. */
uint32_t sources_quota(
	const struct sources *s, const struct source *one, int64_t day);

/*
 * The same hash gets the same source as long as the same ones may be used, so
 * that who was told to come again comes from where it came.  carried[i]: what
 * s->v[i] carried that day.  Those that are full leave it to the others; where
 * all are, the one with the largest quota goes on.  NULL: none of the family.
 */
const struct source *sources_choose(const struct sources *s, bool six,
	uint64_t hash, int64_t day, const uint32_t *carried);

#endif
