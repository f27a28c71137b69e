/* SPDX-License-Identifier: ISC */
#ifndef NET_DNS_FILTER_H
#define NET_DNS_FILTER_H

/*
 * dns_filter: smtp_dns_reply_filter of postconf(5): records that tables know
 * are passed over.  A table sees "name. 0 IN MX 10 host."; what it says is
 * IGNORE.
 */

#include "conf/table.h"
#include "net/resolver.h"

/* Takes them out of the data, which has some.  TEMP: none is left, or the table
 * fails. */
enum dns_result dns_filter(struct maps *filter, struct str name, int type,
	struct arena *a, struct strs *data, struct fault *f);

#endif
