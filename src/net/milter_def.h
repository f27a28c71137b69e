/* SPDX-License-Identifier: ISC */
#ifndef NET_MILTER_DEF_H
#define NET_MILTER_DEF_H

/* The filters that a parameter like smtpd_milters names. */

#include "conf/conf.h"
#include "net/milter.h"

struct milter_list {
	struct milter_def *v;
	size_t n;
};

/*
 * list: "inet:host:port", "unix:path" or "{ endpoint, connect_timeout=10s,
 * command_timeout=, content_timeout=, default_action= }".  Bad items are
 * problems of param and left out.  Lives in the arena, and no longer than c.
 */
struct milter_list milter_list_parse(const struct conf *c, const char *param,
	struct str list, struct arena *a, struct problems *problems);

#endif
