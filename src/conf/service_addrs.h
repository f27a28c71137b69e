/* SPDX-License-Identifier: ISC */
#ifndef CONF_SERVICE_ADDRS_H
#define CONF_SERVICE_ADDRS_H

/* service_addrs: where an inet line of master.cf listens. */

#include "conf/line_conf.h"
#include "sys/sock.h"

/* "smtp", "submission", "587" to a number; 0 for an unknown name. */
unsigned service_port(struct str name);

/* "host:port" or "port", by inet_interfaces and inet_protocols of c; in its
 * arena.  False: there is no such port, which is told. */
bool service_addrs(const struct conf *c, const struct master_entry *e,
	struct str file, struct sock_addr **v_r, size_t *n_r,
	struct problems *problems);

#endif
