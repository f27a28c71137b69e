/* SPDX-License-Identifier: ISC */
#ifndef POLICY_POLICY_H
#define POLICY_POLICY_H

/*
 * policy: a configuration with its tables and lists opened, ready to decide.
 *
 * Made once per listener or role, then only read: threads share it.  Decides
 * without I/O of its own: tables and the resolver are passed in.
 */

#include "codec/postfix/characters.h"
#include "conf/match.h"
#include "net/resolver.h"

/* Is somebody else's address deliverable?  text_r: why not. */
enum verify_status { VERIFY_OK, VERIFY_REJECT, VERIFY_TEMP, VERIFY_PENDING };
typedef enum verify_status policy_verify_f(
	struct str address, struct arena *a, struct str *text_r, void *ctx);

struct policy {
	const struct conf *c;
	struct tables *tables;
	struct resolver *resolver; /* NULL: DNS checks answer "temporary" */
	struct dnsbl_watch *dnsbl_watch; /* smtpd's; NULL: none */
	policy_verify_f *verify; /* smtpd's; NULL: nobody can be asked */
	void *verify_ctx;

	struct match_list *mynetworks;
	struct match_list *mydestination;
	struct match_list *relay_domains;
	struct match_list *virtual_alias_domains;
	struct match_list *virtual_mailbox_domains;
	struct match_list *mx_backup_networks;
	struct match_list *fast_flush_domains;
	struct match_list *bare_newline_exclusions;
	struct match_list *log_permit; /* smtpd_log_access_permit_actions */

	struct maps *canonical;
	struct maps *sender_canonical;
	struct maps *recipient_canonical;
	struct maps *virtual_alias;
	struct maps *virtual_mailbox;
	struct maps *local_recipient;
	struct maps *relay_recipient;
	struct maps *transport;
	struct maps *sender_relayhost;
	struct maps *sender_transport;
	struct maps *generic;
	struct maps *sender_login;
	struct maps *sasl_password;
	struct maps *tls_policy;
	struct maps *alias;
	struct maps *mailbox_transport;
	struct maps *fallback_transport;
	struct maps *rbl_reply;
	struct maps *relay_clientcerts;
	struct maps *relocated;
	struct maps *sender_bcc, *recipient_bcc;
	struct characters expansion; /* smtpd_expansion_filter */

	struct restrictions *restrictions; /* policy/restrict.h */
};

/* Lives until the conf is freed.  Problems of every list and table it names
 * are added. */
struct policy *policy_new(const struct conf *c, struct tables *tables,
	struct resolver *resolver, struct problems *problems);

/* ---- the address classes: postfix ADDRESS_CLASS_README ---- */

enum address_class {
	CLASS_LOCAL, /* mydestination */
	CLASS_VIRTUAL_ALIAS,
	CLASS_VIRTUAL_MAILBOX,
	CLASS_RELAY,
	CLASS_DEFAULT,
};

const char *address_class_name(enum address_class class);
/* Of user@domain or user@[ip]; false with a temporary fault. */
bool policy_class(const struct policy *p, struct str domain, struct arena *a,
	enum address_class *class_r, struct fault *f);

/* Is the recipient known in its class?  result_r TABLE_NONE: unknown, and
 * *table_r names the table for the reply. */
bool policy_recipient_known(const struct policy *p, struct str address,
	struct arena *a, bool *known_r, enum address_class *class_r,
	const char **table_r, struct fault *f);

/* relocated(5): *text_r is what to say, with its enhanced code. */
enum table_result policy_relocated(const struct policy *p, struct str address,
	struct arena *a, struct str *text_r, struct fault *f);
/* sender_bcc_maps or recipient_bcc_maps. */
enum table_result policy_bcc(const struct policy *p, struct maps *maps,
	struct str address, struct arena *a, struct str *bcc_r,
	struct fault *f);

/* ---- routing ---- */

struct route {
	enum address_class class;
	struct str transport; /* "smtp", "relay", "local", "store", "error" */
	struct str nexthop; /* domain, [host]:port, or the text behind error: */
	/* The parameter that decided, and what a table said: "transport_maps
	 * smtp:[host]". */
	struct str by;
};
bool policy_route(const struct policy *p, struct str sender,
	struct str recipient, struct arena *a, struct route *route_r,
	struct fault *f);

/* defer_transports: does its mail wait until a person wants it tried? */
bool policy_defers(const struct policy *p, struct str transport);

/* A text like "smtp:[host]:port" as a route; default_filter_nexthop where it
 * names no next hop. */
struct route policy_filter_route(const struct policy *p, struct str spec);
/* The policy by which address probes are routed: p, or one of its own that
 * lives as long. */
struct policy *policy_for_probes(struct policy *p);

/* keys for maps_lookup_address: is this domain one of ours for bare users? */
struct address_keys policy_keys(
	const struct policy *p, struct str address, struct arena *a);

/* A login name may use a sender address?  postconf(5) smtpd_sender_login_maps
 * and, without it, the account itself.  owned_r: anybody owns it. */
bool policy_login_owns(const struct policy *p, struct str login,
	struct str sender, struct arena *a, bool *owns_r, bool *owned_r,
	struct fault *f);

#endif
