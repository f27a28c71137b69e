/* SPDX-License-Identifier: ISC */
#ifndef ROLE_SMTPD_MILTERS_H
#define ROLE_SMTPD_MILTERS_H

/*
 * The mail filters of a session, asked in the order of smtpd_milters.  The
 * first that refuses ends an event.  All functions do nothing without
 * filters.
 */

#include "role/smtpd/smtpd.h"

/* Each returns true when a filter refused: the reply is put. */
bool milters_connect(struct session *s);
bool milters_helo(struct session *s);
bool milters_mail(struct session *s, struct str address);
bool milters_rcpt(struct session *s, struct str address);
bool milters_data(struct session *s);
bool milters_unknown(struct session *s, struct str line);

/*
 * The message through all filters, with their changes: *text may be
 * replaced, sender and recipients of the transaction may change.  False with
 * a fault when the changed message cannot be written.
 */
bool milters_message(
	struct session *s, struct text *text, bool *refused_r, struct fault *f);

void milters_abort(struct session *s);
void milters_trim(struct session *s);
void milters_free(struct session *s);

/* milters_message.c uses it: what a verdict means; true: refused. */
bool milters_verdict(
	struct session *s, struct milter *m, const struct milter_verdict *v);

/* milters_change.c: applies changes in order.  *text is replaced when
 * header or body change. */
bool milters_change(struct session *s, const struct milter *m,
	const struct milter_change *changes, struct text *text,
	struct fault *f);

#endif
