/* SPDX-License-Identifier: ISC */
#ifndef CMD_CHECK_SCREEN_H
#define CMD_CHECK_SCREEN_H

/* check_screen: the tables of postscreen lines. */

#include "conf/table.h"

void check_screen(
	const struct conf *c, struct tables *tables, struct problems *p);

#endif
