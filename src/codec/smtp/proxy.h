/* SPDX-License-Identifier: ISC */
#ifndef CODEC_SMTP_PROXY_H
#define CODEC_SMTP_PROXY_H

/*
 * proxy_header: what a load balancer says in front of a connection about who
 * is behind it: the PROXY protocol of HAProxy, versions 1 (a line) and 2
 * (binary).
 *
 * Pure.
 */

#include "base/str.h"

enum { PROXY_HEADER_MAX = 536 }; /* 16 + 216 octets would do; TLVs vary */

struct proxy_header {
	bool local; /* the balancer itself, or nobody it knows: no addresses */
	unsigned char client[16], server[16]; /* network byte order */
	size_t addr_len; /* 4 or 16 */
	unsigned client_port, server_port;
	size_t bytes; /* of the header */
};

enum proxy_result {
	PROXY_OK,
	PROXY_MORE, /* not all is there yet */
	PROXY_BAD,
};

enum proxy_result proxy_header_parse(struct str in, struct proxy_header *h_r);

#endif
