/* SPDX-License-Identifier: ISC */
#ifndef NET_ENDPOINT_H
#define NET_ENDPOINT_H

/*
 * endpoint: where a helper of ours listens (policy service, milter, table
 * server): "inet:host:port", "host:port", "unix:path".
 *
 * A name is looked up once, before the sandbox: these are machines of the
 * administrator.  Read-only afterwards; any thread.
 */

#include "net/stream.h"
#include "sys/sock.h"

enum { ENDPOINT_ADDRS_MAX = 4 };

struct endpoint {
	struct str text; /* as written, for the log */
	struct sock_addr addr[ENDPOINT_ADDRS_MAX];
	size_t n_addr;
	struct str path; /* of a Unix socket; absent otherwise */
};

/* Copies into the arena.  base: directory of a relative path. */
bool endpoint_parse(struct str text, struct str base, struct arena *a,
	struct endpoint *e_r, struct fault *f);

/* A connected descriptor; -1 and the fault. */
int endpoint_open(
	const struct endpoint *e, int64_t timeout_ms, struct fault *f);
/* NULL and the fault. */
struct stream *endpoint_connect(const struct endpoint *e, size_t in_max_bytes,
	int64_t timeout_ms, struct fault *f);

#endif
