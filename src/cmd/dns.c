/* SPDX-License-Identifier: ISC */
/*
 * postern dns DOMAIN: the zone that a domain needs.  postern dns check DOMAIN:
 * what the world sees of it, and what to change.
 */
#include "cmd/dns.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "codec/smtp/path.h"

static void print_remarks(const struct dns_plan *p)
{
	if (p->n_addrs == 0)
		printf("; No address here can be reached from outside.  Behind "
		       "NAT, proxy_interfaces\n; names the one that can: then "
		       "its A and PTR are among these lines.\n");
	if (p->keys.n == 0)
		printf("; There are no DKIM keys: postern dkim generate "
		       "%.*s\n",
			STR_ARG(p->domain));
	if (p->conf->relayhost.len > 0)
		printf("; Mail goes out through relayhost: put its servers "
		       "into "
		       "SPF, as its owner says.\n");
}

static const char *remark_on(enum dns_topic t)
{
	switch (t) {
	case DNS_TOPIC_PTR:
		return "; Who gave you the address sets its reverse name:";
	case DNS_TOPIC_DMARC:
		return "; p=none first, if other servers send as this domain, "
		       "too:";
	case DNS_TOPIC_TLSA:
		return "; Counts only where the zone is signed (DNSSEC); a new "
		       "key needs a new line first:";
	case DNS_TOPIC_MTA_STS:
		return "; With a policy at https://mta-sts.DOMAIN/.well-known/"
		       "mta-sts.txt:";
	case DNS_TOPIC_SRV:
		return "; Clients find their servers by these:";
	case DNS_TOPIC_AUTOCONFIG:
		return "; With a web server that tells clients their settings:";
	case DNS_TOPIC_MX:
	case DNS_TOPIC_HOST:
	case DNS_TOPIC_SPF:
	case DNS_TOPIC_SPF_HELO:
	case DNS_TOPIC_DKIM:
	case DNS_TOPIC_TLSRPT:
	case DNS_TOPIC_CAA:
		break;
	}
	return NULL;
}

static void print_zone(const struct dns_plan *p)
{
	struct buf b CLEANUP(buf_fini);

	buf_init(&b, 1 << 20);
	print_remarks(p);
	for (size_t i = 0; i < p->n; i++) {
		const struct dns_line *l = &p->lines[i];
		const char *remark = remark_on(l->topic);

		if (remark != NULL &&
			(i == 0 || p->lines[i - 1].topic != l->topic))
			printf("%s\n", remark);
		buf_reset(&b);
		dns_line_put(l, &b);
		printf("%s%.*s", l->remark ? "; " : "", STR_ARG(buf_str(&b)));
	}
}

static int act(struct cmd *c, bool check, const char *domain)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct problems problems = {.a = a};
	struct conf *conf = conf_load(c->dir, &problems);
	struct services *services = services_load(conf, &problems);
	struct dns_plan *plan = arena_make(a, struct dns_plan);
	struct fault f;
	unsigned wrong = 0;

	if (!smtp_domain_valid(str_from(domain), false))
		return cmd_usage(c, "\"%s\" is no domain", domain);
	if (!dns_plan_make(plan, conf, services, str_from(domain), a, &f)) {
		fprintf(stderr, "postern dns: %s\n", f.text);
		return EX_NOINPUT;
	}
	if (check) {
		struct resolver *r = cmd_resolver(conf, &f);

		if (r == NULL) {
			fprintf(stderr, "postern dns: %s\n", f.text);
			return EX_CONFIG;
		}
		wrong = dns_check(plan, r);
		resolver_free(r);
	} else {
		print_zone(plan);
	}
	dns_plan_free(plan);
	return wrong > 0 ? EX_DATAERR : EX_OK;
}

int cmd_dns(struct cmd *c)
{
	const char *value, *words[2] = {NULL, NULL};
	size_t n = 0;
	int at = 1, i;

	while ((i = cmd_option(c, &at, NULL, 0, &value)) != -2) {
		if (i == -3)
			return EX_USAGE;
		if (n == 2)
			return cmd_usage(c, "unexpected \"%s\"", value);
		words[n++] = value;
	}
	bool check = n == 2 && strcmp(words[0], "check") == 0;
	if (n == 0 || (n == 2 && !check) ||
		(n == 1 && strcmp(words[0], "check") == 0))
		return cmd_usage(c, "a domain is missing");
	return act(c, check, words[check ? 1 : 0]);
}
