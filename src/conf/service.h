/* SPDX-License-Identifier: ISC */
#ifndef CONF_SERVICE_H
#define CONF_SERVICE_H

/*
 * service: the lines of master.cf that mean something here.
 *
 * inet lines whose command is smtpd, postscreen (both SMTP), lmtpd, imapd or
 * pop3d name listeners; their -o settings override main.cf for that listener.
 * unix lines of smtp, lmtp, relay, local, ... name transports.  The standard
 * lines of Postfix's own daemons are accepted silently.
 */

#include "codec/postfix/pipe_args.h"
#include "conf/conf.h"
#include "sys/sock.h"

enum service_kind { SERVICE_SMTPD, SERVICE_IMAPD, SERVICE_POP3D };

struct service {
	enum service_kind kind;
	bool local; /* pickup: what sendmail(1) connects to, a Unix socket */
	bool screen; /* postscreen: strangers are tested first */
	bool lmtp; /* lmtpd: SERVICE_SMTPD that speaks RFC 2033 */
	struct str name; /* first field as written */
	struct sock_addr *addrs;
	size_t n_addrs;
	struct conf *conf; /* with the overrides */
	unsigned line;
};

struct transport {
	struct str name; /* "smtp", "relay", "lmtp", ... */
	struct str command;
	const struct pipe_args *pipe; /* pipe(8)'s; NULL: another command */
	struct conf *conf;
	unsigned line;
};

/* spawn(8): a program for each connection. */
struct spawn {
	struct str name;
	struct sock_addr *addrs;
	size_t n_addrs;
	bool public; /* any account of the machine may connect */
	const struct pipe_args *args; /* user=, argv= */
	unsigned most; /* that run at a time; 0: no limit */
	int64_t time_limit; /* seconds */
	unsigned line;
};

struct services {
	struct service *v;
	size_t n;
	struct transport *transports;
	size_t n_transports;
	struct spawn *spawns;
	size_t n_spawns;
	struct str master_cf;
};

/* NULL: there is none of the name. */
const struct transport *transport_find(
	const struct services *s, struct str name);
/* postconf(5) transport_time_limit and its kin: NAME_rest of main.cf, a number
 * or a time in seconds; fallback where it is not set, or bad. */
int64_t transport_setting(const struct conf *c, struct str transport,
	const char *rest, bool is_time, int64_t fallback, struct arena *a);

/* Never fails; problems say what is wrong.  Lives with base's arena. */
struct services *services_load(
	const struct conf *base, struct problems *problems);
void services_free(struct services *s); /* the confs of the lines */

/* The Unix socket that takes the mail of this machine's users. */
struct str service_pickup_path(const struct conf *c, struct arena *a);

const char *service_kind_name(enum service_kind kind);
#endif
