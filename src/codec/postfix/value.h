/* SPDX-License-Identifier: ISC */
#ifndef CODEC_POSTFIX_VALUE_H
#define CODEC_POSTFIX_VALUE_H

/*
 * Typed values of main.cf, as postconf(5) reads them.  Pure.
 */

#include "base/str.h"

bool value_bool(struct str s, bool *v_r); /* yes or no, any case */
bool value_int(struct str s, int64_t *v_r); /* base 10, no suffix */
/* integer and one of s m h d w; text behind the unit is ignored */
bool value_time(struct str s, char default_unit, int64_t *seconds_r);

/* "net/bits" or an address; brackets around IPv6 are fine. */
struct cidr {
	unsigned char addr[16]; /* network byte order */
	size_t len; /* 4 or 16 */
	unsigned bits;
};
enum cidr_result { CIDR_OK, CIDR_NOT_ONE, CIDR_HOST_BITS };
enum cidr_result cidr_parse(struct str s, struct cidr *cidr_r);
bool cidr_match(const struct cidr *c, const unsigned char *addr, size_t len);
/* Text address to bytes, ::ffff:a.b.c.d folded to IPv4. */
bool address_parse(struct str s, unsigned char addr[16], size_t *len_r);

/* A host name as Postfix's valid_hostname(): _ allowed, not all numeric. */
bool hostname_valid(struct str s);

/* Nearest of the names by edit distance, NULL when none is near. */
const char *nearest_name(struct str word, const char *const *names, size_t n);

#endif
