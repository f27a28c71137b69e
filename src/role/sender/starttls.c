/* SPDX-License-Identifier: ISC */
/*
 * TLS with the next server: the level that the next hop's policy, the message
 * (RFC 8689) and DNS (DANE, RFC 7672) make together.  Whatever is bogus,
 * missing or wrong above TLS_MAY leads to a later try, never to clear text.
 */
#include <string.h>

#include "base/must.h"
#include "codec/postfix/lines.h"
#include "net/tls.h"
#include "net/tls_cache.h"
#include "net/tls_expect.h"
#include "role/sender/delivery.h"

bool sender_requires_tls(const struct delivery *d)
{
	return (d->job->env.flags & ENV_REQUIRETLS) != 0 && !d->site.lmtp;
}

bool sender_tls_policy(struct delivery *d, struct fault *f)
{
	struct tls_policy *p = &d->policy;

	if (!tls_policy_of(d->t->policy, d->c, d->site.nexthop, d->site.host,
		    d->a, p, f))
		return false;
	/* RFC 8689 4.2: the sender would rather have it read than lost. */
	if (!sender_requires_tls(d) &&
		(d->job->env.flags & ENV_TLS_OPTIONAL) != 0 &&
		p->level > TLS_MAY)
		p->level = TLS_MAY;
	if (sender_requires_tls(d) &&
		(p->level <= TLS_ENCRYPT || p->level == TLS_DANE)) {
		/* DANE may fall back: here the certificate must be good. */
		p->level = TLS_VERIFY;
		p->match = STR("hostname");
	}
	d->level = p->level;
	sender_sts_policy(d);
	return true;
}

/* ---- DANE ---- */

static enum dns_result look_for_tlsa(
	struct delivery *d, struct str base, unsigned port, struct fault *f)
{
	struct str name =
		arena_printf(d->a, "_%u._tcp.%.*s", port, STR_ARG(base));

	d->tlsa_base = base;
	return resolver_tlsa(
		d->t->policy->resolver, name, d->a, &d->tlsa, &d->n_tlsa, f);
}

/* Where MX is not protected, how far DANE is still taken. */
static bool dane_applies(const struct delivery *d, const struct site_host *h)
{
	struct str insecure = d->c->smtp_tls_dane_insecure_mx_policy;

	return d->s->role->resolver != NULL &&
	       (h->secure || d->c->smtp_tls_force_insecure_host_tlsa_lookup) &&
	       (d->site.name_secure || str_eqc(insecure, "dane"));
}

static enum tls_level without_tlsa(const struct delivery *d)
{
	return !d->site.name_secure &&
			       str_eqc(d->c->smtp_tls_dane_insecure_mx_policy,
				       "encrypt")
		       ? TLS_ENCRYPT
		       : TLS_MAY;
}

static bool find_dane(
	struct delivery *d, const struct site_host *h, struct fault *f)
{
	enum dns_result r = DNS_NONE;

	if (d->level != TLS_DANE && d->level != TLS_DANE_ONLY)
		return true;
	if (dane_applies(d, h)) {
		/* RFC 7672 2.2.3: behind aliases first, then as it was said. */
		if (str_present(h->canonical))
			r = look_for_tlsa(
				d, h->canonical, sock_addr_port(&h->addr), f);
		if (r == DNS_NONE || r == DNS_NXDOMAIN)
			r = look_for_tlsa(
				d, h->name, sock_addr_port(&h->addr), f);
	}
	if (r == DNS_OK)
		return true;
	if (r == DNS_TEMP)
		return fault_set(f, FAULT_TEMP, 451, 7, 5,
			"TLSA records of %.*s cannot be looked up safely",
			STR_ARG(h->name));
	if (d->level == TLS_DANE_ONLY)
		return fault_set(f, FAULT_TEMP, 451, 7, 5,
			"level dane-only, and %.*s has no TLSA records that "
			"DNSSEC protects",
			STR_ARG(h->name));
	d->level = without_tlsa(d);
	return true;
}

bool sender_tls_host(
	struct delivery *d, const struct site_host *h, struct fault *f)
{
	d->level = d->policy.level;
	d->match = d->policy.match;
	d->n_tlsa = 0;
	d->verified = false;
	return find_dane(d, h, f) && sender_sts_host(d, h, f);
}

/* ---- the session ---- */

/* A session that was not verified so must never stand for one that was; nor one
 * of a transport that trusts and shows other certificates. */
static struct str session_key(struct delivery *d)
{
	return arena_printf(d->a, "%p %d %.*s %.*s", (void *)d->t->tls,
		d->level, STR_ARG(d->match), STR_ARG(d->mta));
}

/* What DNS or a fingerprint said may have changed since. */
static bool may_resume(const struct delivery *d)
{
	return d->level != TLS_FINGERPRINT && d->n_tlsa == 0;
}

static SSL *new_ssl(struct delivery *d, struct fault *f)
{
	const struct tls_policy *p = &d->policy;
	SSL_CTX *base = d->level > TLS_MAY ? d->t->tls_mandatory : d->t->tls;
	SSL_CTX *ctx = base;

	if (p->protocols.len > 0 || p->ciphers.len > 0 || p->exclude.len > 0) {
		ctx = tls_client_ctx_like(base, d->c, d->level > TLS_MAY,
			&d->t->own, p->protocols, p->ciphers, p->exclude, f);
		if (ctx == NULL)
			return NULL;
	}
	SSL *ssl = SSL_new(ctx);
	must(ssl != NULL);
	if (ctx != base)
		SSL_CTX_free(ctx);
	return ssl;
}

static void add_name(struct delivery *d, struct str word, struct str host,
	struct strs *names)
{
	struct str domain = d->site.host;

	if (str_ieqc(word, "hostname"))
		strs_add(names, d->a, host);
	else if (str_ieqc(word, "nexthop"))
		strs_add(names, d->a, domain);
	else if (str_ieqc(word, "dot-nexthop"))
		strs_add(names, d->a,
			arena_printf(d->a, ".%.*s", STR_ARG(domain)));
	else
		strs_add(names, d->a, word);
}

static bool expect(
	struct delivery *d, SSL *ssl, struct str host, struct fault *f)
{
	struct str rest = d->match, word;
	struct strs names = {0};

	if (d->level >= TLS_VERIFY) {
		while (str_present(word = list_item(&rest)))
			add_name(d, word, host, &names);
		tls_expect_names(ssl, &names,
			d->c->tls_wildcard_matches_multiple_labels, d->a);
		return names.n > 0 ||
		       fault_set(f, FAULT_TEMP, 451, 7, 5,
			       "no name is given that the certificate must "
			       "show");
	}
	if (d->n_tlsa == 0)
		return true;
	/* The second name is the domain itself, RFC 7672 3.2.2. */
	if (tls_expect_dane(ssl, d->tlsa_base,
		    d->site.name_secure ? d->site.host : STR(""), d->tlsa,
		    d->n_tlsa, d->a) > 0)
		return true;
	if (d->level == TLS_DANE_ONLY)
		return fault_set(f, FAULT_TEMP, 451, 7, 5,
			"no TLSA record of %.*s can be used", STR_ARG(host));
	/* RFC 7672 2.2: TLS is promised, only not by whose key. */
	d->level = TLS_ENCRYPT;
	d->n_tlsa = 0;
	return true;
}

/* "|" separates too: a fingerprint has colons of its own. */
static bool is_listed(struct str list, struct str print)
{
	struct str item;

	while (str_present(item = list_item(&list)))
		while (str_present(item)) {
			struct str one = str_cut(&item, '|');

			if (print.len > 0 && str_ieq(one, print))
				return true;
		}
	return false;
}

static bool check_fingerprint(
	struct delivery *d, struct smtp_client *c, struct fault *f)
{
	struct tls_peer peer;

	if (d->level != TLS_FINGERPRINT)
		return true;
	peer = tls_peer_of(stream_ssl(c->stream),
		arena_cstr(d->a, d->c->smtp_tls_fingerprint_digest), d->a);
	return is_listed(d->policy.match, peer.fingerprint) ||
	       is_listed(d->policy.match, peer.pubkey_fingerprint) ||
	       fault_set(f, FAULT_TEMP, 451, 7, 5,
		       "the server's certificate has another fingerprint: "
		       "%.*s",
		       STR_ARG(peer.fingerprint));
}

/* A session in which the certificate is what it must be; NULL: fault. */
static SSL *prepare(struct delivery *d, struct str host, struct fault *f)
{
	SSL *ssl = new_ssl(d, f);

	if (ssl == NULL)
		return NULL;
	if (!expect(d, ssl, host, f)) {
		SSL_free(ssl);
		return NULL;
	}
	if (may_resume(d))
		tls_cache_resume(d->s->sessions, session_key(d), ssl);
	return ssl;
}

static const char *sni(struct delivery *d, struct str host)
{
	struct str name = d->policy.servername.len > 0
				  ? d->policy.servername
				  : d->c->smtp_tls_servername;

	if (str_ieqc(name, "hostname"))
		name = host;
	else if (str_ieqc(name, "nexthop"))
		name = d->site.host;
	/* RFC 7672 8.1: the name that the records were found below. */
	if (name.len == 0)
		name = d->n_tlsa > 0 ? d->tlsa_base : host;
	return arena_cstr(d->a, name);
}

static bool done(struct delivery *d, struct smtp_client *c, struct fault *f)
{
	if (!check_fingerprint(d, c, f))
		return false;
	d->verified = d->level == TLS_FINGERPRINT || d->level >= TLS_VERIFY ||
		      d->n_tlsa > 0;
	return true;
}

bool sender_tls_wrap(struct delivery *d, struct smtp_client *c, struct str name,
	struct fault *f)
{
	SSL *ssl = prepare(d, name, f);

	if (ssl == NULL)
		return false;
	stream_deadline(c->stream, d->c->smtp_helo_timeout * 1000);
	return stream_tls_connect(c->stream, ssl, sni(d, name), false, f) &&
	       done(d, c, f);
}

bool sender_tls_start(struct delivery *d, struct smtp_client *c,
	struct str name, struct fault *f)
{
	if ((c->caps & CAP_STARTTLS) == 0)
		return d->level <= TLS_MAY ||
		       fault_set(f, FAULT_TEMP, 451, 7, 4,
			       "TLS is required, but the server does not "
			       "offer STARTTLS");
	SSL *ssl = prepare(d, name, f);
	return ssl != NULL &&
	       smtp_client_starttls(c, ssl, sni(d, name), false, f) &&
	       done(d, c, f);
}

bool sender_tls_promised(
	struct delivery *d, struct smtp_client *c, struct fault *f)
{
	if (!sender_requires_tls(d))
		return true;
	/* RFC 8689 4.2.1: by DNSSEC or by MTA-STS */
	if (!d->site.name_secure && !d->sts_matched)
		return fault_set(f, FAULT_PERM, 550, 7, 30,
			"REQUIRETLS: the MX records of %.*s are not protected "
			"by DNSSEC",
			STR_ARG(d->site.host));
	return (c->caps & CAP_REQUIRETLS) != 0 ||
	       fault_set(f, FAULT_PERM, 550, 7, 30,
		       "REQUIRETLS support required, but the server does not "
		       "offer it");
}

void sender_tls_keep(struct delivery *d, struct smtp_client *c)
{
	if (stream_is_tls(c->stream) && may_resume(d))
		tls_cache_keep(
			d->s->sessions, session_key(d), stream_ssl(c->stream));
}
