/* SPDX-License-Identifier: ISC */
#ifndef CMD_CHECK_PROGRAMS_H
#define CMD_CHECK_PROGRAMS_H

/* check_programs: the programs that pipe and spawn lines run, and as whom. */

#include "conf/service.h"

void check_programs(
	const struct services *s, struct arena *a, struct problems *p);

#endif
