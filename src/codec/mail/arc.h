/* SPDX-License-Identifier: ISC */
#ifndef CODEC_MAIL_ARC_H
#define CODEC_MAIL_ARC_H

/*
 * arc: the sets of ARC-Authentication-Results, ARC-Message-Signature and
 * ARC-Seal in a header, and the text that a seal covers.
 *
 * RFC 8617 4.1, 5.1.1
 *
 * Pure; views point into the header.
 */

#include "codec/mail/dkim.h"

enum { ARC_SETS_MAX = 50 }; /* 4.2.1 */

enum arc_cv { ARC_CV_NONE, ARC_CV_PASS, ARC_CV_FAIL };
const char *arc_cv_name(enum arc_cv cv);

struct arc_set {
	struct mail_field results, signature, seal; /* AAR, AMS, AS */
	struct str said; /* what stands in AAR behind "i=N;" */
	struct dkim_signature ams, as; /* of as: a b d s t only */
	enum arc_cv cv;
};
struct arc_chain {
	struct arc_set *v; /* i=1 first */
	unsigned n;
};

/* False: it is no chain, *why_r says why.  True with n == 0: there is none. */
bool arc_chain_parse(struct str head, struct arena *a,
	struct arc_chain *chain_r, const char **why_r);

/* What the seal of set number `to` covers, from set number `from` on; both
 * count from 1.  Its own b= is empty. */
void arc_seal_text(const struct arc_chain *chain, unsigned from, unsigned to,
	struct buf *out);

#endif
