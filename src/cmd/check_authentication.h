/* SPDX-License-Identifier: ISC */
#ifndef CMD_CHECK_AUTHENTICATION_H
#define CMD_CHECK_AUTHENTICATION_H

#include "conf/table.h"

/* Signing keys, and what is signed. */
void check_authentication(
	const struct conf *c, struct tables *tables, struct problems *p);

#endif
