/* SPDX-License-Identifier: ISC */
#ifndef CMD_CHECK_PARAMETERS_H
#define CMD_CHECK_PARAMETERS_H

/* check_parameters: names in main.cf that nobody reads. */

#include "conf/conf.h"

void check_parameters(struct conf *c, struct problems *p);
/* Every name of Postfix and of ours, and whether it acts: to stdout. */
void check_list_parameters(void);

#endif
