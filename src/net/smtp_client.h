/* SPDX-License-Identifier: ISC */
#ifndef NET_SMTP_CLIENT_H
#define NET_SMTP_CLIENT_H

/*
 * smtp_client: the dialog with a server, for relaying and for `postern send`.
 *
 * RFC 5321 4.1.1 and 4.3.2, RFC 3207 (STARTTLS), RFC 4954 (AUTH),
 * RFC 2920 (PIPELINING), RFC 1870, 6152, 6531, 3461; RFC 2033 (LMTP)
 * RFC 3030 (CHUNKING), RFC 9422 (LIMITS)
 * RFC 8689 (REQUIRETLS), RFC 6710 (MT-PRIORITY), RFC 2852 (DELIVERBY)
 *
 * A reply from the server is never trusted to be sane: lines and their number
 * are bounded, what came before a command was sent is dropped, and whatever
 * goes wrong is a fault.  One thread at a time.
 */

#include "base/arena.h"
#include "codec/smtp/reply.h"
#include "net/stream.h"

enum smtp_cap {
	CAP_PIPELINING = 1u << 0,
	CAP_SIZE = 1u << 1,
	CAP_8BITMIME = 1u << 2,
	CAP_SMTPUTF8 = 1u << 3,
	CAP_STARTTLS = 1u << 4,
	CAP_AUTH = 1u << 5,
	CAP_DSN = 1u << 6,
	CAP_REQUIRETLS = 1u << 7,
	CAP_PRIORITY = 1u << 8,
	CAP_DELIVERBY = 1u << 9,
	CAP_XFORWARD = 1u << 10,
	CAP_CHUNKING = 1u << 11,
};

struct smtp_timeouts {
	int64_t helo_ms, mail_ms, rcpt_ms, data_init_ms, data_xfer_ms,
		data_done_ms, quit_ms;
};

/* Whom EHLO is said to: smtp_always_send_ehlo, smtp_never_send_ehlo. */
enum smtp_ehlo { SMTP_EHLO_ALWAYS, SMTP_EHLO_IF_GREETED, SMTP_EHLO_NEVER };

struct smtp_client {
	struct stream *stream;
	struct arena *a; /* the caller's */
	struct str helo_name;
	bool lmtp;
	struct smtp_timeouts timeouts;
	unsigned caps;
	uint64_t size_max; /* with CAP_SIZE; 0: not said */
	/* RFC 9422: mails, and domains of recipients, in this session;
	 * recipients of a mail; 0: not said */
	unsigned mail_max, domain_max, rcpt_max;
	enum smtp_ehlo ehlo;
	bool esmtp; /* it greeted with that word */
	struct str discard; /* EHLO keywords that are not looked at */
	/* What is read instead of a line of a reply, good until the next call;
	 * NULL: as it came. */
	struct str (*line_filter)(struct str line, void *ctx);
	void *line_filter_ctx;
	struct str auth_mechs;
	struct str xforward; /* attributes on offer */
	struct smtp_reply reply; /* the last one */
	bool logged_in;
	bool greeting_5xx; /* the fault is a refused greeting */
	bool in_text; /* it waits for text that will not come: no QUIT */
	bool text_begun; /* of the last mail: who knows what became of it */
};

/* fd is taken over.  The client must be closed in any case. */
void smtp_client_init(struct smtp_client *c, int fd, struct arena *a,
	struct str helo_name, bool lmtp, const struct smtp_timeouts *t);
/* QUIT when polite, then close. */
void smtp_client_close(struct smtp_client *c, bool polite);

/* Reads the greeting, says EHLO (HELO when that is refused). */
bool smtp_client_hello(struct smtp_client *c, struct fault *f);
/* STARTTLS and EHLO again; name and verify as stream_tls_connect. */
bool smtp_client_starttls(struct smtp_client *c, SSL *ssl, const char *name,
	bool verify, struct fault *f);

struct smtp_client_login {
	struct str user;
	struct str password; /* "Bearer TOKEN": RFC 7628; "": a certificate */
	bool plaintext; /* may who listens learn the password? */
	bool certificate; /* we have shown one */
	struct str filter; /* smtp_sasl_mechanism_filter */
};
/* By the strongest mechanism that fits.  A refused password is FAULT_PERM
 * 535. */
bool smtp_client_auth(struct smtp_client *c, const struct smtp_client_login *l,
	struct fault *f);

/* XFORWARD_README: who the client of our client is; what the server does not
 * offer is left out, and so are absent values. */
struct smtp_client_xforward {
	struct str name, addr, helo, proto;
	struct str ident; /* what our log calls the mail; may be absent */
	unsigned port;
	bool local; /* no client: it began here */
};
bool smtp_client_xforward(struct smtp_client *c,
	const struct smtp_client_xforward *x, struct fault *f);

struct smtp_client_rcpt {
	struct str address;
	struct str orcpt; /* absent without */
	unsigned notify;
	/* results */
	bool ok;
	bool refused; /* the server said no; fault has its words */
	struct fault fault;
};

struct smtp_client_mail {
	struct str sender;
	struct str envid;
	bool ret_hdrs;
	bool utf8; /* needs SMTPUTF8 */
	bool has_8bit;
	bool with_verp; /* XVERP, by the delimiters; "": the server's own */
	struct str verp;
	bool dummy_auth; /* AUTH=<>, where we have logged in: RFC 4954 5 */
	bool probe; /* ends behind RCPT: would the server take it? */
	bool probe_data; /* ... behind DATA */
	bool unquoted; /* local parts go without quotes */
	bool all; /* refused for one recipient is refused for all */
	bool requiretls; /* the caller has seen CAP_REQUIRETLS */
	int priority;
	bool with_by; /* DELIVERBY */
	bool by_return, by_trace;
	int64_t by; /* seconds that are left */
	uint64_t size; /* of both */
	struct smtp_client_rcpt *rcpts;
	size_t n_rcpts;
	struct str prefix; /* header fields in front of it; may be empty */
	struct str message; /* with CRLF lines */
	void (*progress)(uint64_t sent, uint64_t size, void *ctx); /* or NULL */
	void *ctx;
};

/*
 * Sends one mail.  True: the server took it for every recipient with .ok; its
 * words are in c->reply.  False: nobody got it, or (c->stream failed) nobody
 * knows; the fault says why.
 */
bool smtp_client_send(
	struct smtp_client *c, struct smtp_client_mail *m, struct fault *f);

/* The last reply as a fault: class, code, enhanced code, text. */
bool smtp_client_refused(struct smtp_client *c, struct fault *f);
/* Is the fault such a reply, not words of ours? */
bool smtp_client_said(const struct fault *f);

#endif
