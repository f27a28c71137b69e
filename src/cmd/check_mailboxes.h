/* SPDX-License-Identifier: ISC */
#ifndef CMD_CHECK_MAILBOXES_H
#define CMD_CHECK_MAILBOXES_H

/* check_mailboxes: addresses in virtual_mailbox_maps that have no account: who
 * comes from another server has yet to make them. */

#include "conf/table.h"

void check_mailboxes(
	const struct conf *c, struct tables *tables, struct problems *p);

#endif
