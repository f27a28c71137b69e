/* SPDX-License-Identifier: ISC */
#ifndef CMD_NAMES_H
#define CMD_NAMES_H

/*
 * The programs of Postfix that scripts, cron and PHP call, by their own name:
 * links to postern, told apart by argv[0].  Options and output are theirs.
 * Each returns an exit code of sysexits.h.
 */

#include "conf/conf.h"

typedef int name_f(int argc, char **argv);
name_f name_sendmail, name_mailq, name_newaliases, name_postqueue,
	name_postsuper, name_postmap, name_postalias, name_postconf;

/* The program that argv[0] names; NULL: postern itself. */
name_f *name_find(const char *argv0);

/* main.cf as a user of the machine reads it; problems are not told. */
struct conf *name_conf(const char *dir);

/* What an option string of getopt(3) does not know is said and EX_USAGE. */
int name_usage(const char *name, const char *usage);

#endif
