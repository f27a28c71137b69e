/* SPDX-License-Identifier: ISC */
#ifndef CMD_DNS_H
#define CMD_DNS_H

/*
 * What DNS should say about a domain of ours: dns_plan.c knows it, dns.c
 * prints it, dns_check.c compares it with what the world sees.
 */

#include "cmd/cmd.h"
#include "policy/dkim_keys.h"

enum { DNS_TTL = 3600, DNS_LINES_MAX = 200 };

enum dns_topic {
	DNS_TOPIC_MX,
	DNS_TOPIC_HOST, /* A, AAAA */
	DNS_TOPIC_PTR,
	DNS_TOPIC_SPF,
	DNS_TOPIC_SPF_HELO,
	DNS_TOPIC_DKIM,
	DNS_TOPIC_DMARC,
	DNS_TOPIC_TLSA,
	DNS_TOPIC_TLSRPT,
	DNS_TOPIC_MTA_STS,
	DNS_TOPIC_CAA,
	DNS_TOPIC_SRV,
	DNS_TOPIC_AUTOCONFIG,
};

struct dns_line {
	enum dns_topic topic;
	struct str name;
	const char *type;
	struct str data; /* as in a zone file; of TXT the bare text */
	struct resolver_addr addr; /* of HOST and PTR */
	bool remark; /* printed behind ";": somebody else's zone, or a choice */
};

struct dns_plan {
	struct arena *a;
	const struct conf *conf;
	struct str domain, host;
	struct dns_line lines[DNS_LINES_MAX];
	size_t n;
	struct resolver_addr addrs[16]; /* what the world may reach us at */
	size_t n_addrs;
	struct dkim_keys keys;
};

/* False with a fault: keys or certificate cannot be read. */
bool dns_plan_make(struct dns_plan *p, const struct conf *conf,
	const struct services *services, struct str domain, struct arena *a,
	struct fault *f);
void dns_plan_free(struct dns_plan *p);

void dns_line_put(const struct dns_line *l, struct buf *out);
const char *dns_topic_name(enum dns_topic t);

/* Asks, and says what it found; the number of things to change. */
unsigned dns_check(const struct dns_plan *p, struct resolver *r);

#endif
