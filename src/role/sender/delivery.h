/* SPDX-License-Identifier: ISC */
#ifndef ROLE_SENDER_DELIVERY_H
#define ROLE_SENDER_DELIVERY_H

/* One job at work, shared by the files that deliver it. */

#include "policy/tls_policy.h"
#include "role/sender/sender.h"

struct delivery {
	struct sender *s;
	const struct conf *c; /* of the transport */
	const struct sender_transport *t;
	const struct job *job;
	bool lmtp; /* the transport's command */
	struct arena *a;
	struct site site;
	struct str message;
	struct smtp_client_rcpt *rcpts; /* one for each of job->pick */
	struct outcomes *o;
	bool *settled;
	const struct site_host *host; /* that is being talked to */
	struct str mta; /* the same, for the log */
	bool answered; /* the last fault is what it said */
	struct str sender; /* after generic maps */
	struct tls_policy policy; /* of the next hop */
	enum tls_level level; /* with this host, DNS considered */
	struct str match; /* the policy's, or MTA-STS's */
	struct mta_sts_policy *sts; /* of the domain; NULL: not asked */
	bool sts_matched; /* it names this host */
	struct dns_tlsa *tlsa; /* at TLS_DANE and TLS_DANE_ONLY */
	size_t n_tlsa;
	struct str tlsa_base;
	bool verified; /* the certificate is what it must be */
	const char *tls_version; /* of the last session */
};

/* settle.c: outcomes; i counts the recipients of the job. */

void sender_settle(struct delivery *d, uint32_t i, struct outcome_of o);
/* The same fault for everybody who is still open; from_mta: its words. */
void sender_settle_all(
	struct delivery *d, const struct fault *f, bool from_mta);
/* As the server said it in the end. */
void sender_settle_sent(struct delivery *d, struct smtp_client *c);
bool sender_all_settled(const struct delivery *d);
void sender_log_sent(
	const struct delivery *d, const struct smtp_client *c, unsigned served);

/* dialog.c: one host. */

enum sender_try {
	TRY_DONE,
	TRY_NEXT_HOST,
	TRY_WITHOUT_TLS,
	TRY_FRESH,
	TRY_AGAIN, /* over another session: this one took some of them */
};

/* From smtp_bind_address; -1 with a fault. */
int sender_connect(
	struct delivery *d, const struct site_host *h, struct fault *f);
/* A whole session over fd, which is taken over. */
enum sender_try sender_converse(
	struct delivery *d, int fd, struct str name, bool tls, struct fault *f);
/* Over a connection that waits for mail like this; TRY_FRESH: there is none. */
enum sender_try sender_try_waiting(struct delivery *d, struct fault *f);

/* xforward.c: in front of each mail, where it is asked for. */
bool sender_xforward(
	struct delivery *d, struct smtp_client *c, struct fault *f);

/* sign.c: puts DKIM signatures in front of what is ours. */
bool sender_sign(
	struct delivery *d, struct smtp_client_mail *m, struct fault *f);

/* starttls.c: how safe the way must be, and TLS with one host. */

bool sender_requires_tls(const struct delivery *d); /* RFC 8689 */
/* The next hop's policy; once a job. */
bool sender_tls_policy(struct delivery *d, struct fault *f);
/* What DNS says of this host; false: it may not be used now. */
bool sender_tls_host(
	struct delivery *d, const struct site_host *h, struct fault *f);
/* TLS from the first byte. */
bool sender_tls_wrap(struct delivery *d, struct smtp_client *c, struct str name,
	struct fault *f);
/* STARTTLS as the level says; true without TLS where that is enough. */
bool sender_tls_start(struct delivery *d, struct smtp_client *c,
	struct str name, struct fault *f);
/* RFC 8689 4.1 and 8.4: the way is safe, or it is not gone. */
bool sender_tls_promised(
	struct delivery *d, struct smtp_client *c, struct fault *f);
/* sts.c: what the domain asks for by MTA-STS; once a job. */
void sender_sts_policy(struct delivery *d);
/* Raises the level; false: the host is not among those of the policy. */
bool sender_sts_host(
	struct delivery *d, const struct site_host *h, struct fault *f);
/* tls_seen.c: told to who makes reports.  The host may not be used: */
void sender_note_refused(
	struct delivery *d, const struct site_host *h, const struct fault *f);
/* Its session has begun, or could not. */
void sender_note_session(struct delivery *d, struct smtp_client *c, int fd,
	bool ok, const struct fault *f);
/* The session has served: it may be resumed. */
void sender_tls_keep(struct delivery *d, struct smtp_client *c);

#endif
