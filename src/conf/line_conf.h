/* SPDX-License-Identifier: ISC */
#ifndef CONF_LINE_CONF_H
#define CONF_LINE_CONF_H

/*
 * line_conf: the parameters that count on a line of master.cf: those of
 * main.cf, what others stand in for (stand_in.h), and what -o sets; on the line
 * itself, and on lines of Postfix's daemons whose work is done with it.
 */

#include "codec/postfix/lines.h"
#include "conf/conf.h"

struct master_entry {
	struct master_line m;
	unsigned line; /* 0: ours */
};
struct master_lines {
	struct str file;
	struct master_entry *v;
	size_t n, cap;
};

/* In base's arena.  Lines that do not parse are told, and left out. */
void master_lines_read(const struct conf *base, struct str file,
	struct str text, struct master_lines *all_r, struct problems *problems);
/* The last with that command; name and type absent: of any.  NULL: none. */
const struct master_entry *master_lines_find(const struct master_lines *all,
	struct str name, struct str type, const char *command);

/*
 * parts: the lines whose -o count, later ones before earlier ones; the last is
 * the line itself.  cleans: its mail goes through cleanup(8) in Postfix, so the
 * -o of the cleanup line that cleanup_service_name names count in front of
 * them.
 */
struct conf *line_conf(const struct conf *base, const struct master_lines *all,
	const struct master_entry *const *parts, size_t n, bool cleans,
	struct problems *problems);

#endif
