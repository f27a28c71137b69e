/* SPDX-License-Identifier: ISC */
#ifndef CODEC_SMTP_VERP_H
#define CODEC_SMTP_VERP_H

/*
 * verp: variable envelope return path: owner@list.example and user@dom.example
 * become owner+user=dom.example@list.example, so that who reads a bounce knows
 * whom it is about.  Postfix's VERP_README; the XVERP parameter of MAIL.
 *
 * Pure.
 */

#include "base/arena.h"

/* Two characters of filter (postconf(5) verp_delimiter_filter), as "+=". */
bool verp_delimiters_fit(struct str delimiters, struct str filter);
/* sender as it is where it has no domain. */
struct str verp_sender(struct str delimiters, struct str sender,
	struct str recipient, struct arena *a);

#endif
