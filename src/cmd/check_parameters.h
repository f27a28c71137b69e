/* SPDX-License-Identifier: ISC */
#ifndef CMD_CHECK_PARAMETERS_H
#define CMD_CHECK_PARAMETERS_H

/* check_parameters: names in main.cf and master.cf that nobody reads. */

#include "conf/conf.h"

void check_parameters(struct conf *c, struct problems *p);
/* The same of what one line of master.cf sets by -o; c: of the line. */
void check_overrides(struct conf *c, struct problems *p);
/* Every name of Postfix and of ours, and whether it acts: to stdout. */
void check_list_parameters(void);

#endif
