/* SPDX-License-Identifier: ISC */
#ifndef CMD_MAIN_H
#define CMD_MAIN_H

/* The commands' entry: everything but "postern role ...". */
int cmd_main(int argc, char **argv);

#endif
