/* SPDX-License-Identifier: ISC */
#ifndef CMD_CHECK_ALIASES_H
#define CMD_CHECK_ALIASES_H

#include "conf/table.h"

/* Reads every target of alias_maps and mailbox_command as a delivery would:
 * what would only defer mail later is told now. */
void check_aliases(
	const struct conf *c, struct tables *tables, struct problems *p);

#endif
