/* SPDX-License-Identifier: ISC */
#ifndef NET_RESOLVER_H
#define NET_RESOLVER_H

/*
 * resolver: DNS through libunbound, which caches, retries over TCP and,
 * given trust anchors, validates DNSSEC itself.
 *
 * RFC 5321 5.1 (MX), RFC 7505 (null MX), RFC 1035
 *
 * Calls block; any number of threads may call at once.
 */

#include "base/arena.h"
#include "base/fault.h"
#include "codec/dns/rdata.h"

struct resolver;

enum dns_result {
	DNS_OK,
	DNS_NONE, /* the name exists, the type does not */
	DNS_NXDOMAIN,
	DNS_TEMP, /* no answer, or a bogus one; the fault says which */
};

struct resolver_options {
	struct str servers; /* "[addr]:port" list; empty: /etc/resolv.conf */
	struct str trust_anchor_file; /* empty: no validation */
};

struct resolver *resolver_new(
	const struct resolver_options *o, struct fault *f);
void resolver_free(struct resolver *r);

/* The same resolver, which asks nothing after that time: TEMP.  Not to be
 * freed; lives in the arena and no longer than r. */
struct resolver *resolver_until(
	const struct resolver *r, int64_t mono_ms, struct arena *a);

/* The same resolver, which passes over what the filter says (dns_filter.h;
 * NULL: nothing).  As above. */
struct maps;
struct resolver *resolver_filtered(
	struct resolver *r, struct maps *filter, struct arena *a);

struct resolver_addr {
	unsigned char bytes[16];
	size_t len; /* 4 or 16 */
};
struct resolver_addrs {
	struct resolver_addr *v;
	size_t n;
	bool insecure; /* some of them are not protected by DNSSEC */
	struct str canonical; /* behind aliases; absent: none of them */
};

enum resolver_family { RESOLVER_V4 = 1, RESOLVER_V6 = 2 };

/* A name with its U-labels as A-labels, RFC 5891 4.4, lower case; absent: it is
 * no host name. */
struct str resolver_ascii(struct str name, struct arena *a);

/* A and AAAA of a host, or the literal itself; appended to *addrs. */
enum dns_result resolver_host(struct resolver *r, struct str name,
	unsigned families, struct arena *a, struct resolver_addrs *addrs,
	struct fault *f);

struct resolver_mx {
	unsigned preference;
	struct str host; /* "." alone: null MX */
	bool secure; /* validated by DNSSEC */
};
/* Sorted by preference.  NONE: no MX, the host itself is the exchanger. */
enum dns_result resolver_mx(struct resolver *r, struct str domain,
	struct arena *a, struct resolver_mx **list_r, size_t *n_r,
	struct fault *f);

struct resolver_srv {
	struct dns_srv srv;
	bool secure; /* validated by DNSSEC */
};
/* Of "_service._tcp.domain", in the order to try: RFC 2782, by chance as the
 * weights say. */
enum dns_result resolver_srv(struct resolver *r, struct str name,
	struct arena *a, struct resolver_srv **list_r, size_t *n_r,
	struct fault *f);

/* First PTR name of an address. */
enum dns_result resolver_ptr(struct resolver *r, const unsigned char *addr,
	size_t len, struct arena *a, struct str *name_r, struct fault *f);
/* All of them, appended to *names_r. */
enum dns_result resolver_ptrs(struct resolver *r, const unsigned char *addr,
	size_t len, struct arena *a, struct strs *names_r, struct fault *f);
/* Names of the zone's servers, appended to *hosts. */
enum dns_result resolver_ns(struct resolver *r, struct str domain,
	struct arena *a, struct strs *hosts, struct fault *f);
enum dns_result resolver_txt(struct resolver *r, struct str name,
	struct arena *a, struct strs *texts, struct fault *f);
/* The data of records of any type, as they travel (names uncompressed). */
enum dns_result resolver_records(struct resolver *r, struct str name, int type,
	struct arena *a, struct strs *rdata, struct fault *f);
/* RFC 6698.  Only records that DNSSEC protects: else NONE.  Their data lives
 * in the arena. */
enum dns_result resolver_tlsa(struct resolver *r, struct str name,
	struct arena *a, struct dns_tlsa **list_r, size_t *n_r,
	struct fault *f);

#endif
