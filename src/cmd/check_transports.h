/* SPDX-License-Identifier: ISC */
#ifndef CMD_CHECK_TRANSPORTS_H
#define CMD_CHECK_TRANSPORTS_H

/* check_transports: how mail goes out, by main.cf and by the -o of a line of
 * master.cf: sources, TLS, tables. */

#include "conf/service.h"
#include "conf/table.h"

void check_main_transport(
	const struct conf *c, struct tables *tables, struct problems *p);
void check_transport(
	const struct transport *t, struct tables *tables, struct problems *p);

#endif
