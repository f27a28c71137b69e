/* SPDX-License-Identifier: ISC */
#ifndef CONF_STAND_IN_H
#define CONF_STAND_IN_H

/*
 * stand_in: parameters that count in place of others on some lines of
 * master.cf.
 *
 * lmtp_x is for lmtp transports what smtp_x is for the others; what main.cf
 * sets for smtp is not meant for them (postconf(5)).  postscreen_x, where it is
 * set, is for postscreen lines what smtpd_x is for the others: one session does
 * the work of both.
 */

#include "conf/conf.h"

/* Settings of what others stand in for on a line with this command; their
 * number, at most n_known_params. */
size_t stand_in_overrides(
	const struct conf *base, struct str command, struct conf_override *o);
/* "-o lmtp_x" of such a line becomes smtp_x; it stands in all[n], and takes the
 * place of what main.cf says.  The number there are now. */
size_t stand_in_take_name(struct conf_override *all, size_t n,
	struct str command, struct arena *a);

#endif
