/* SPDX-License-Identifier: ISC */
#ifndef CODEC_DNS_RDATA_H
#define CODEC_DNS_RDATA_H

/*
 * The data part of DNS records as a resolver hands it out: names are
 * uncompressed.  RFC 1035 3.1 (names), 3.3.9 (MX), 3.3.14 (TXT).
 *
 * Pure.
 */

#include "base/arena.h"

/* A wire-format name to "mail.example.org" (no final dot; "." for root). */
bool dns_name_parse(struct str *in, struct arena *a, struct str *name_r);

struct dns_mx {
	unsigned preference;
	struct str host;
};
bool dns_mx_parse(struct str rdata, struct arena *a, struct dns_mx *mx_r);
/* RFC 6698 2.1 */
struct dns_tlsa {
	unsigned char usage, selector, matching;
	struct str data; /* a view */
};
bool dns_tlsa_parse(struct str rdata, struct dns_tlsa *tlsa_r);
/* RFC 2782 */
struct dns_srv {
	unsigned priority, weight, port;
	struct str host; /* ".": the service is decidedly not there */
};
bool dns_srv_parse(struct str rdata, struct arena *a, struct dns_srv *srv_r);
/* As a zone file has them.  RFC 2782 ("0 1 465 mail.example.org."), RFC 8659
 * 4.1 ("0 issue \"ca.example\""). */
bool dns_srv_text(struct str rdata, struct arena *a, struct str *text_r);
bool dns_caa_text(struct str rdata, struct arena *a, struct str *text_r);
/* The strings of a TXT record joined. */
bool dns_txt_parse(struct str rdata, struct arena *a, struct str *text_r);
/* The name for a reverse look-up: RFC 1035 3.5, RFC 3596 2.5. */
struct str dns_reverse_name(const unsigned char *addr, size_t len,
	const char *zone4, const char *zone6, struct arena *a);

#endif
