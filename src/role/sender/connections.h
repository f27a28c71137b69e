/* SPDX-License-Identifier: ISC */
#ifndef ROLE_SENDER_CONNECTIONS_H
#define ROLE_SENDER_CONNECTIONS_H

/*
 * connections: sessions with other servers that wait a moment for the next
 * mail: CONNECTION_CACHE_README.  The key says everything that two mails must
 * have in common to share one: transport, host, how safe it is, who logged in.
 *
 * Bounded in number and time; a thread of its own says QUIT to those that
 * nobody wanted.  Any thread.
 */

#include "net/smtp_client.h"

struct connections;

enum { CONNECTION_DOMAINS_MAX = 64 };

/* Between two mails: no transaction is open. */
struct connection {
	struct smtp_client client;
	/* RFC 9422 RCPTDOMAINMAX: what it has been given, by hash */
	uint32_t domains[CONNECTION_DOMAINS_MAX];
	unsigned n_domains;
	const char *tls_version;
	bool verified;
	int64_t opened_ms;
	unsigned served; /* mails so far */
};

/* After the sandbox: it starts a thread. */
struct connections *connections_new(void);
/* False: there is none.  a: for the next mail. */
bool connections_take(struct connections *c, struct str key, struct arena *a,
	struct connection *x_r);
/* Takes it over; idle_ms: how long it waits. */
void connections_put(struct connections *c, struct str key,
	struct connection *x, int64_t idle_ms);

#endif
