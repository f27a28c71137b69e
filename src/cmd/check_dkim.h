/* SPDX-License-Identifier: ISC */
#ifndef CMD_CHECK_DKIM_H
#define CMD_CHECK_DKIM_H

#include "conf/table.h"

/* Signing keys, and what is signed. */
void check_dkim(
	const struct conf *c, struct tables *tables, struct problems *p);

#endif
