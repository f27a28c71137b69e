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
struct sender_content;
struct dkim_keyring;
struct dkim_signer;
struct mta_sts;

struct sender {
	struct role *role;
	struct policy *policy;
	SSL_CTX *tls, *tls_mandatory; /* for level may, and above it */
	struct tls_pair_paths own; /* the certificates that we show */
	struct tls_cache *sessions;
	struct connections *connections;
	struct dkim_keyring *keyring;
	struct dkim_signer *signer;
	struct mta_sts *sts; /* NULL: off */
	struct sender_content *content; /* by transport; content.c */
	size_t n_content;
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

/* hosts.c: "[host]:port", "host", "inet:host:port", "unix:path" and MX.
 * False: a temporary fault, or FAULT_PERM for domains without mail. */
bool sender_find_hosts(struct sender *s, const struct conf *c,
	struct resolver *resolver, bool lmtp, struct str nexthop,
	struct arena *a, struct site *site_r, struct fault *f);

/* narrow.c: the message as 7-bit text; *map holds it when it had to change. */
bool sender_narrow(struct str message, struct arena *a, struct file_map *map,
	struct str *message_r, struct fault *f);

/* content.c: smtp_header_checks and its kin on *message, which leans on *fresh
 * where it was changed.  c: of the transport. */
bool sender_check_content(struct sender *s, const struct conf *c,
	const char *id, struct str *message, struct text *fresh,
	struct arena *a, struct fault *f);
void sender_load_content(struct sender *s);

/* deliver.c */
agent_deliver_f sender_deliver;

#endif
