/* SPDX-License-Identifier: ISC */
#ifndef CMD_CHECK_PARAMETERS_H
#define CMD_CHECK_PARAMETERS_H

/* check_parameters: names in main.cf that nobody reads. */

#include "conf/conf.h"

void check_parameters(struct conf *c, struct problems *p);

#endif
