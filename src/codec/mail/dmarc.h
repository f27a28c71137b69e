/* SPDX-License-Identifier: ISC */
#ifndef CODEC_MAIL_DMARC_H
#define CODEC_MAIL_DMARC_H

/*
 * dmarc: the text of a policy record.  RFC 9989 4.7; records of RFC 7489 are
 * read too, their pct, rf and ri mean nothing any more.
 *
 * Pure; views point into the text.
 */

#include "base/arena.h"

enum dmarc_policy { DMARC_NO_POLICY, DMARC_QUARANTINE, DMARC_REJECT };
const char *dmarc_policy_name(enum dmarc_policy p);

enum dmarc_psd { DMARC_PSD_UNKNOWN, DMARC_PSD_YES, DMARC_PSD_NO };

struct dmarc_record {
	enum dmarc_policy p, sp, np; /* sp and np: p where they are not said */
	bool strict_dkim, strict_spf; /* adkim=s, aspf=s */
	enum dmarc_psd psd;
	bool testing; /* t=y */
	struct str rua, ruf; /* absent without */
	bool any; /* fo=1: a failure report for each way that failed */
	struct str text; /* all of it */
};

/* Does a TXT record begin as one? */
bool dmarc_is_record(struct str text);
/* False: it counts as none. */
bool dmarc_record_parse(
	struct str text, struct arena *a, struct dmarc_record *r_r);

/* rua=: where reports go.  Only mailto: counts. */
struct dmarc_rua {
	struct str address;
	uint64_t max_bytes; /* of a report; 0: not said */
};
/* At most max of them; the number. */
size_t dmarc_rua_parse(
	struct str rua, size_t max, struct arena *a, struct dmarc_rua *v);

#endif
