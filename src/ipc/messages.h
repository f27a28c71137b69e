/* SPDX-License-Identifier: ISC */
#ifndef IPC_MESSAGES_H
#define IPC_MESSAGES_H

/*
 * The structs that travel between roles, and their one codec.  The envelope's
 * form is also what the queue stores: it starts with a version, and a newer
 * program reads the older ones.
 *
 * Reading returns views into the message; lists live in the arena.
 */

#include "base/fault.h"
#include "codec/mail/dmarc_report.h"
#include "codec/postfix/pipe_args.h"
#include "ipc/ipc.h"
#include "ipc/queue_request.h"
#include "ipc/wire.h"
#include "sys/text.h"

/* A fault as payload of IPC_NO; ipc_read_fault always returns false. */
void ipc_put_fault(struct buf *b, const struct fault *f);
bool ipc_read_fault(struct str payload, struct fault *f);

/* The text of a message, at the end of a payload: its bytes, or absent when it
 * is the descriptor that goes with the frame (text->fd). */
void text_put(struct buf *b, const struct text *text);
/* Takes the frame's descriptor over; else leans on its payload. */
bool text_read(struct wire *w, struct ipc_frame *frame, struct text *text_r);

enum envelope_flags {
	ENV_8BIT = 1u << 0,
	ENV_UTF8 = 1u << 1, /* SMTPUTF8 */
	ENV_RET_HDRS = 1u << 2, /* RFC 3461 4.3 */
	ENV_HOLD = 1u << 3,
	ENV_DSN = 1u << 4, /* written by us: a bounce, a warning */
	ENV_REQUIRETLS = 1u << 5, /* RFC 8689 2 */
	ENV_TLS_OPTIONAL = 1u << 6, /* "TLS-Required: No", RFC 8689 3 */
	ENV_BY_RETURN = 1u << 7, /* deliver_by is a bound: RFC 2852 mode R */
	ENV_BY_TRACE = 1u << 8,
	ENV_SIGN = 1u << 11, /* of our users and programs: DKIM */
	ENV_JUNK = 1u << 10, /* set aside: for the mailbox with that use */
	ENV_PROBE = 1u << 9, /* no mail: ends behind RCPT, see queue/verify.h */
};

struct recipient {
	struct str address; /* where it goes: after aliases */
	struct str original; /* as the client said it */
	struct str orcpt; /* "rfc822;..."; absent without */
	uint32_t notify; /* smtp_notify flags; 0: not said */
};

struct envelope {
	uint64_t id;
	int64_t arrival; /* Unix seconds */
	uint32_t flags;
	uint64_t size; /* bytes of the message */
	struct str sender; /* "" for <> */
	struct str envid; /* absent without */
	struct str login; /* absent without AUTH */
	struct str client; /* "name[address]" */
	struct str helo,
		protocol; /* of the client: "ESMTP"; absent: no client */
	uint32_t port;
	struct str sasl_method, sasl_sender; /* AUTH; MAIL FROM's AUTH= */
	struct str filter; /* content_filter "transport:nexthop"; absent */
	struct str verp; /* two delimiters; absent: the sender as it is */
	int32_t priority; /* RFC 6710: -9 to 9 */
	int64_t hold_until; /* RFC 4865, Unix seconds; 0: not given */
	int64_t deliver_by; /* RFC 2852, Unix seconds; 0: not given */
	struct recipient *rcpts;
	uint32_t n_rcpts;
};
/* What stands in MAIL, or Return-Path, for this recipient: VERP. */
struct str envelope_sender(
	const struct envelope *e, const struct recipient *r, struct arena *a);
/* When the first try is due. */
int64_t envelope_release(const struct envelope *e);
void envelope_put(struct buf *b, const struct envelope *e);
bool envelope_read(struct wire *w, struct arena *a, struct envelope *e_r);

enum outcome_kind { DELIVERED, DEFERRED, BOUNCED };

struct outcome_of {
	uint32_t n; /* index of the recipient in the envelope */
	enum outcome_kind kind;
	int code; /* SMTP reply code; 0: not from a server */
	int subject, detail; /* enhanced code behind the class */
	struct str text; /* the reply, or our own words */
	struct str mta; /* who said so; absent: we */
	bool relayed; /* goes on where we do not see it: RFC 3464 2.3.3 */
	bool by_unknown; /* it does not know DELIVERBY: the trail ends here */
};
struct outcomes {
	struct outcome_of *v;
	uint32_t n;
	bool site_failed; /* nobody was reached: the whole site waits */
	struct str site; /* names of the exchangers; absent: not known */
	struct str
		source; /* the one of the job's that was used; absent: none */
};
void outcomes_put(struct buf *b, const struct outcomes *o);
bool outcomes_read(struct wire *w, struct arena *a, struct outcomes *o_r);

/*
 * Messages that an account brings from elsewhere, into one mailbox; all of
 * them come, or none.  Their bytes stand behind each other in the descriptor
 * of the frame; without messages, there is none.
 */
struct import_message {
	uint32_t flags; /* store_flag */
	struct str keywords; /* blanks between */
	int64_t received; /* Unix seconds */
	uint64_t identity; /* of the message at its source */
	uint32_t uid; /* it had there; 0: not known */
	uint64_t size; /* bytes */
};
struct import_request {
	struct str account; /* its address */
	struct str mailbox; /* made where it is not there */
	bool subscribe;
	uint32_t uidvalidity; /* it had there; 0: not known */
	struct import_message *v;
	uint32_t n;
};
void import_request_put(struct buf *b, const struct import_request *r);
bool import_request_read(
	struct wire *w, struct arena *a, struct import_request *r_r);

enum agent_kind { AGENT_SENDER, AGENT_MAILBOX };

struct job {
	struct envelope env; /* all recipients of the message */
	uint32_t *pick; /* indices of those to deliver to now */
	uint32_t n_pick;
	struct str transport;
	struct str nexthop;
	bool more; /* waits for the same next hop */
	/* Seconds for a server to answer; 0: as configured. */
	uint32_t patience;
	struct str text; /* of the message; absent: JOB_BODY asks for it */
	/* IPv4 and IPv6: the address to come from, the name in EHLO; absent:
	 * as configured. */
	struct str source[2], helo[2];
};
void job_put(struct buf *b, const struct job *j);
bool job_read(struct wire *w, struct arena *a, struct job *j_r);

/*
 * local(8) with the rights of an account, by a child of master.  It answers
 * OK, with a descriptor where a text was asked for or a .forward stands in
 * front of the mailbox.
 */
enum local_action {
	LOCAL_MAILBOX, /* the user's own; or OK with the .forward's text */
	LOCAL_MAILBOX_ONLY, /* the same, without looking for a .forward */
	LOCAL_FILE, /* target: mbox, or Maildir with "/" at the end */
	LOCAL_COMMAND, /* target: the command */
	LOCAL_READ, /* target: a file of addresses -> OK with its text */
	LOCAL_PIPE, /* target: a pipe transport, for all of rcpts */
	LOCAL_FORWARD, /* the .forward's text, if there is one; no mailbox */
};

struct local_request {
	enum local_action action;
	struct str user; /* whose rights; absent: default_privs */
	struct str target;
	struct str prefix; /* header lines in front of the message */
	struct str sender;
	/* what a command is told in its environment */
	struct str recipient, original, extension, client, login;
	struct str helo, protocol, sasl_method, sasl_sender;
	uint32_t port;
	/* LOCAL_PIPE */
	struct str queue_id, nexthop;
	struct pipe_rcpt *rcpts;
	uint32_t n_rcpts;
};
void local_request_put(struct buf *b, const struct local_request *r);
bool local_request_read(
	struct wire *w, struct arena *a, struct local_request *r_r);

/* One message of a domain that wants reports about its DMARC policy. */
struct dmarc_seen {
	struct str domain; /* of the policy */
	struct str record; /* its text */
	struct dmarc_row row; /* without the count */
};
void dmarc_seen_put(struct buf *b, const struct dmarc_seen *s);
bool dmarc_seen_read(struct wire *w, struct dmarc_seen *s_r);
/* One session with a server of a domain that wants reports about TLS. */
struct tls_row {
	struct str policy_type; /* "sts", "tlsa", "no-policy-found" */
	struct str policy, patterns; /* by lines; absent without */
	struct str result; /* "certificate-expired"; absent: it went well */
	struct str sending_ip, mx, receiving_ip, reason; /* of a failure */
};
struct tls_seen {
	struct str domain;
	struct str record; /* of _smtp._tls */
	struct tls_row row;
};
void tls_row_put(struct buf *b, const struct tls_row *r);
bool tls_row_read(struct wire *w, struct tls_row *r_r);
void tls_seen_put(struct buf *b, const struct tls_seen *s);
bool tls_seen_read(struct wire *w, struct tls_seen *s_r);

/* One message that failed. */
struct dmarc_failed {
	struct dmarc_seen seen;
	struct str results; /* Authentication-Results, its value */
	struct str sender; /* of the envelope */
	struct str head; /* of the message */
};
void dmarc_failed_put(struct buf *b, const struct dmarc_failed *d);
bool dmarc_failed_read(struct wire *w, struct dmarc_failed *d_r);
void dmarc_row_put(struct buf *b, const struct dmarc_row *r);
bool dmarc_row_read(struct wire *w, struct dmarc_row *r_r);

#endif
