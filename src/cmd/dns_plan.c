/* SPDX-License-Identifier: ISC */
/* What DNS should say about a domain that this server has mail for. */
#include "cmd/dns.h"

#include <arpa/inet.h>
#include <string.h>

#include "codec/dns/rdata.h"
#include "codec/dns/zonefile.h"
#include "net/tls.h"
#include "net/tls_pairs.h"

const char *dns_topic_name(enum dns_topic t)
{
	static const char *const names[] = {"MX", "address", "reverse name",
		"SPF", "SPF of the host", "DKIM", "DMARC", "DANE", "TLS-RPT",
		"MTA-STS", "CAA", "service", "autoconfig"};

	return names[t];
}

static struct dns_line *add(struct dns_plan *p, enum dns_topic topic,
	struct str name, const char *type, struct str data)
{
	if (p->n == DNS_LINES_MAX)
		p->n--;
	struct dns_line *l = &p->lines[p->n++];

	*l = (struct dns_line){
		.topic = topic, .name = name, .type = type, .data = data};
	return l;
}

/* ---- addresses ---- */

/* RFC 6890: what nobody outside can reach */
static bool is_public(const unsigned char *a, size_t len)
{
	if (len == 4)
		return a[0] != 127 && a[0] != 10 && a[0] != 0 &&
		       !(a[0] == 172 && (a[1] & 0xf0) == 16) &&
		       !(a[0] == 192 && a[1] == 168) &&
		       !(a[0] == 169 && a[1] == 254) &&
		       !(a[0] == 100 && (a[1] & 0xc0) == 64);
	return (a[0] & 0xe0) == 0x20; /* global unicast: 2000::/3 */
}

static void find_addresses(struct dns_plan *p)
{
	for (size_t i = 0; i < p->conf->n_own; i++) {
		const struct own_address *own = &p->conf->own[i];
		struct resolver_addr *a = &p->addrs[p->n_addrs];

		if (!is_public(own->bytes, own->len) ||
			p->n_addrs == ARRAY_LEN(p->addrs))
			continue;
		memcpy(a->bytes, own->bytes, own->len);
		a->len = own->len;
		p->n_addrs++;
	}
}

static void plan_host(struct dns_plan *p)
{
	char text[INET6_ADDRSTRLEN];

	for (size_t i = 0; i < p->n_addrs; i++) {
		const struct resolver_addr *a = &p->addrs[i];

		inet_ntop(a->len == 4 ? AF_INET : AF_INET6, a->bytes, text,
			sizeof(text));
		add(p, DNS_TOPIC_HOST, p->host, a->len == 4 ? "A" : "AAAA",
			arena_str(p->a, str_from(text)))
			->addr = *a;
	}
	for (size_t i = 0; i < p->n_addrs; i++) {
		const struct resolver_addr *a = &p->addrs[i];
		struct dns_line *l = add(p, DNS_TOPIC_PTR,
			dns_reverse_name(a->bytes, a->len, "in-addr.arpa",
				"ip6.arpa", p->a),
			"PTR", arena_printf(p->a, "%.*s.", STR_ARG(p->host)));

		l->addr = *a;
		l->remark = true;
	}
}

/* ---- who sends ---- */

static bool plan_senders(struct dns_plan *p, struct fault *f)
{
	add(p, DNS_TOPIC_SPF, p->domain, "TXT", STR("v=spf1 mx -all"));
	if (!str_ieq(p->host, p->domain))
		add(p, DNS_TOPIC_SPF_HELO, p->host, "TXT",
			STR("v=spf1 a -all"));
	if (!dkim_keys_load(
		    p->conf->dkim_key_directory, p->domain, p->a, &p->keys, f))
		return false;
	for (size_t i = 0; i < p->keys.n; i++)
		if (p->keys.v[i].state != DKIM_KEY_OLD)
			add(p, DNS_TOPIC_DKIM,
				dkim_key_name(
					p->keys.v[i].selector, p->domain, p->a),
				"TXT", p->keys.v[i].record);
	add(p, DNS_TOPIC_DMARC,
		arena_printf(p->a, "_dmarc.%.*s", STR_ARG(p->domain)), "TXT",
		arena_printf(p->a,
			"v=DMARC1; p=reject; rua=mailto:postmaster@%.*s",
			STR_ARG(p->domain)));
	return true;
}

/* ---- TLS ---- */

/* RFC 7671 5.1: DANE-EE, the public key, SHA-256 */
static bool plan_tlsa(struct dns_plan *p, struct fault *f)
{
	const struct conf *c = p->conf;
	struct tls_pairs pairs = {c->smtpd_tls_chain_files,
		c->smtpd_tls_cert_file, c->smtpd_tls_key_file,
		c->smtpd_tls_eccert_file, c->smtpd_tls_eckey_file};
	struct tls_pair_paths paths;
	struct str issuer = STR("");

	tls_pairs_paths(&pairs, p->a, &paths);
	for (size_t i = 0; i < paths.n; i += paths.mixed ? 1 : 2) {
		struct str hex;

		if (!tls_leaf_of(paths.v[i], p->a, &hex, &issuer, f))
			return false;
		add(p, DNS_TOPIC_TLSA,
			arena_printf(p->a, "_25._tcp.%.*s", STR_ARG(p->host)),
			"TLSA", arena_printf(p->a, "3 1 1 %.*s", STR_ARG(hex)));
	}
	if (str_isearch(issuer, STR("Let's Encrypt")) >= 0)
		add(p, DNS_TOPIC_CAA, p->host, "CAA",
			STR("0 issue \"letsencrypt.org\""));
	return true;
}

static void plan_tls_policy(struct dns_plan *p)
{
	add(p, DNS_TOPIC_TLSRPT,
		arena_printf(p->a, "_smtp._tls.%.*s", STR_ARG(p->domain)),
		"TXT",
		arena_printf(p->a, "v=TLSRPTv1; rua=mailto:postmaster@%.*s",
			STR_ARG(p->domain)));
	/* Only with a policy on a web server: a choice. */
	add(p, DNS_TOPIC_MTA_STS,
		arena_printf(p->a, "_mta-sts.%.*s", STR_ARG(p->domain)), "TXT",
		STR("v=STSv1; id=1"))
		->remark = true;
}

/* ---- services: RFC 6186, RFC 8314 5.1 ---- */

static const char *service_label(const struct service *s, bool wrapped)
{
	switch (s->kind) {
	case SERVICE_IMAPD:
		return wrapped ? "_imaps" : "_imap";
	case SERVICE_POP3D:
		return wrapped ? "_pop3s" : "_pop3";
	case SERVICE_SMTPD:
		break;
	}
	return wrapped ? "_submissions" : "_submission";
}

static bool is_wrapped(const struct service *s)
{
	return s->kind == SERVICE_IMAPD   ? s->conf->imapd_tls_wrappermode
	       : s->kind == SERVICE_POP3D ? s->conf->pop3d_tls_wrappermode
					  : s->conf->smtpd_tls_wrappermode;
}

static void plan_services(struct dns_plan *p, const struct services *services)
{
	struct strs seen = {0};

	for (size_t i = 0; i < services->n; i++) {
		const struct service *s = &services->v[i];

		if (s->local || s->lmtp || s->n_addrs == 0 ||
			(s->kind == SERVICE_SMTPD &&
				!s->conf->smtpd_sasl_auth_enable))
			continue;
		struct str name = arena_printf(p->a, "%s._tcp.%.*s",
			service_label(s, is_wrapped(s)), STR_ARG(p->domain));
		struct str data = arena_printf(p->a, "0 1 %u %.*s.",
			sock_addr_port(&s->addrs[0]), STR_ARG(p->host));
		struct str key = arena_concat(p->a, name, data);
		if (strs_has(&seen, key))
			continue;
		strs_add(&seen, p->a, key);
		add(p, DNS_TOPIC_SRV, name, "SRV", data);
	}
}

/* Only with a web server that answers there: a choice. */
static void plan_autoconfig(struct dns_plan *p)
{
	struct str host = arena_printf(p->a, "%.*s.", STR_ARG(p->host));

	add(p, DNS_TOPIC_AUTOCONFIG,
		arena_printf(p->a, "autoconfig.%.*s", STR_ARG(p->domain)),
		"CNAME", host)
		->remark = true;
	add(p, DNS_TOPIC_AUTOCONFIG,
		arena_printf(
			p->a, "_autodiscover._tcp.%.*s", STR_ARG(p->domain)),
		"SRV", arena_printf(p->a, "0 1 443 %.*s", STR_ARG(host)))
		->remark = true;
}

bool dns_plan_make(struct dns_plan *p, const struct conf *conf,
	const struct services *services, struct str domain, struct arena *a,
	struct fault *f)
{
	*p = (struct dns_plan){.a = a,
		.conf = conf,
		.domain = arena_lower(a, domain),
		.host = arena_lower(a, conf->myhostname)};
	find_addresses(p);
	add(p, DNS_TOPIC_MX, p->domain, "MX",
		arena_printf(a, "10 %.*s.", STR_ARG(p->host)));
	plan_host(p);
	if (!plan_senders(p, f) || !plan_tlsa(p, f)) {
		dns_plan_free(p);
		return false;
	}
	plan_tls_policy(p);
	plan_services(p, services);
	plan_autoconfig(p);
	return true;
}

void dns_plan_free(struct dns_plan *p)
{
	dkim_keys_free(&p->keys);
}

void dns_line_put(const struct dns_line *l, struct buf *out)
{
	if (str_eqc(str_from(l->type), "TXT"))
		zonefile_put_txt(out, l->name, DNS_TTL, l->data);
	else
		zonefile_put(out, l->name, DNS_TTL, l->type, l->data);
}
