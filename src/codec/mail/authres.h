/* SPDX-License-Identifier: ISC */
#ifndef CODEC_MAIL_AUTHRES_H
#define CODEC_MAIL_AUTHRES_H

/*
 * authres: the field Authentication-Results.
 *
 * RFC 8601 2.2 (syntax), 5 (fields of our name that are not ours)
 *
 * Pure.
 */

#include "base/buf.h"

/* Does the field claim to be of this authserv-id?  True too where that cannot
 * be told: a reader may guess otherwise. */
bool authres_claims(struct str value, struct str authserv_id);

/* The result of a method, "pass" of "dmarc=pass"; absent: it is not told.  The
 * first one where there are several. */
struct str authres_find(struct str value, const char *method);

/* Writing: begin, then for each method result, reason, properties; end.
 * Control bytes become "?", and without utf8 all that is not ASCII too. */
struct authres_writer {
	struct buf *out;
	bool utf8;
	bool any; /* a result was written */
};
void authres_begin(
	struct authres_writer *w, const char *field, struct str authserv_id);
void authres_result(
	struct authres_writer *w, const char *method, const char *result);
void authres_reason(struct authres_writer *w, struct str why);
/* name: "smtp.mailfrom"; nothing is written for an absent value. */
void authres_property(
	struct authres_writer *w, const char *name, struct str value);
void authres_end(struct authres_writer *w);

/* A value as a token, an address or a quoted-string: RFC 8601 2.2 pvalue;
 * also what RFC 7208 9.1 takes for a value. */
void authres_put_value(struct buf *out, struct str value, bool utf8);

#endif
