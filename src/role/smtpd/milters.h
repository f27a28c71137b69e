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
 * The message through all filters, with their changes: *fd and *size may be
 * replaced, sender and recipients of the transaction may change.  False with
 * a fault when the changed message cannot be written.
 */
bool milters_message(struct session *s, int *fd, uint64_t *size,
	bool *refused_r, struct fault *f);

void milters_abort(struct session *s);
void milters_trim(struct session *s);
void milters_free(struct session *s);

/* milters_message.c uses it: what a verdict means; true: refused. */
bool milters_verdict(
	struct session *s, struct milter *m, const struct milter_verdict *v);

/* milters_change.c: applies changes in order.  *fd and *size are replaced
 * when header or body change. */
bool milters_change(struct session *s, const struct milter *m,
	const struct milter_change *changes, int *fd, uint64_t *size,
	struct fault *f);

#endif
