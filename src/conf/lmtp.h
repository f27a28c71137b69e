/* SPDX-License-Identifier: ISC */
#ifndef CONF_LMTP_H
#define CONF_LMTP_H

/*
 * lmtp: the parameters lmtp_x, which are for lmtp transports what smtp_x are
 * for the others.  postconf(5): what main.cf sets for smtp is not meant for
 * them.
 */

#include "conf/conf.h"

/* Settings of smtp_x by main.cf's lmtp_x or its default; their number, at most
 * n_known_params. */
size_t lmtp_overrides(const struct conf *base, struct conf_override *o);
/* "-o lmtp_x" of an lmtp transport becomes smtp_x; it stands in all[n], and
 * takes the place of what main.cf says.  The number there are now. */
size_t lmtp_take_name(struct conf_override *all, size_t n, struct arena *a);

#endif
