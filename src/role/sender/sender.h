/* SPDX-License-Identifier: ISC */
#ifndef ROLE_SENDER_SENDER_H
#define ROLE_SENDER_SENDER_H

/*
 * sender: mail to other servers.
 *
 * RFC 5321 5 (finding the host), 4.5.4.1 (retries), RFC 7505 (null MX)
 */

#include "net/smtp_client.h"
#include "net/tls_pairs.h"
#include "role/agent.h"
#include "sys/file.h"
#include "sys/text.h"

struct connections;
struct content_checks;
struct policy;
struct dkim_keyring;
struct dkim_signer;
struct mta_sts;

/* What is by transport: the -o of its line in master.cf may change it. */
struct sender_transport {
	const struct conf *c;
	struct policy *policy; /* its tables */
	SSL_CTX *tls, *tls_mandatory; /* for level may, and above it */
	struct tls_pair_paths own; /* the certificates that we show */
	struct content_checks *content; /* NULL: none */
	struct maps *reply_filter; /* smtp_reply_filter; NULL: none */
	struct maps *ehlo_maps; /* smtp_discard_ehlo_keyword_address_maps */
};

struct sender {
	struct role *role;
	/* The first is main.cf's, for who has no line. */
	struct sender_transport *transports;
	size_t n_transports;
	struct tls_cache *sessions;
	struct connections *connections;
	struct auth_cache *refused_passwords;
	struct dkim_keyring *keyring;
	struct dkim_signer *signer;
	struct mta_sts *sts; /* NULL: off */
	struct strs sealed_headers; /* names, for ARC */
};

/* Where to connect, in order. */
struct site_host {
	struct str name; /* for logs, certificates */
	struct sock_addr addr;
	bool secure; /* DNSSEC protects the address */
	struct str canonical; /* behind aliases; absent: none of them */
};
struct site {
	const struct conf *c; /* of the transport */
	struct resolver *resolver; /* NULL: no DNS */
	struct str nexthop; /* as routed: the key of password maps */
	struct str host; /* without brackets and port */
	struct str service; /* name or number, as it was written */
	unsigned port;
	bool lmtp;
	bool name_secure; /* hosts as configured, or by DNSSEC */
	struct str exchangers; /* names by commas, sorted; absent: no MX */
	struct str unix_path; /* lmtp:unix:...; absent otherwise */
	struct site_host *hosts;
	size_t n_hosts;
};

/* search.c: the name in full, by smtp_dns_resolver_options. */
struct str sender_search(const struct conf *c, struct resolver *r,
	struct str name, struct arena *a);

/* hosts.c: "[host]:port", "host", "inet:host:port", "unix:path" and MX.
 * False: a temporary fault, or FAULT_PERM for domains without mail. */
bool sender_find_hosts(struct sender *s, const struct conf *c,
	struct resolver *resolver, bool lmtp, struct str nexthop,
	struct arena *a, struct site *site_r, struct fault *f);

/* narrow.c: the message as 7-bit text; *map holds it when it had to change. */
bool sender_narrow(struct str message, struct arena *a, struct file_map *map,
	struct str *message_r, struct fault *f);

/* fold.c: lines beyond the limit broken; *map holds it when it had to change.
 */
bool sender_fold(struct str message, int64_t limit, struct file_map *map,
	struct str *message_r, struct fault *f);

/* transports.c: before the sandbox */
void sender_load_transports(struct sender *s);
const struct sender_transport *sender_transport_of(
	const struct sender *s, const struct conf *c);

/* content.c: smtp_header_checks and its kin on *message, which leans on *fresh
 * where it was changed. */
bool sender_check_content(const struct sender_transport *t, const char *id,
	struct str *message, struct text *fresh, struct arena *a,
	struct fault *f);

/* deliver.c */
agent_deliver_f sender_deliver;

#endif
