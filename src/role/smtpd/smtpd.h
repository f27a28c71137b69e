/* SPDX-License-Identifier: ISC */
#ifndef ROLE_SMTPD_SMTPD_H
#define ROLE_SMTPD_SMTPD_H

/*
 * smtpd: the SMTP server's session, and the commands it is made of.
 *
 * RFC 5321, RFC 6409.  One command, one file, one row in the table of
 * session.c.  A command reads its argument, decides, and puts one reply.
 */

#include "codec/mail/dmarc.h"
#include "codec/mail/header.h"
#include "codec/postfix/characters.h"
#include "codec/smtp/command.h"
#include "codec/smtp/data.h"
#include "net/endpoint.h"
#include "net/milter_def.h"
#include "net/stream.h"
#include "net/tls.h"
#include "policy/content.h"
#include "policy/restrict.h"
#include "role/accounts.h"
#include "role/anvil.h"
#include "role/role.h"
#include "sys/clock.h"
#include "sys/text.h"

enum {
	SMTPD_SESSION_BYTES = 64 * 1024,
	SMTPD_TRANSACTION_BYTES = 4 << 20,
	SMTPD_COMMAND_BYTES = 1 << 20,
	SMTPD_INPUT_BYTES = 32 * 1024,
	SMTPD_PIECE_BYTES = 32 * 1024, /* of a text read at a time */
};

struct screen_rule {
	struct maps *maps; /* NULL: a word */
	bool networks; /* permit_mynetworks */
	bool reject; /* else permit */
};

/* One listener of master.cf with all that its sessions share. */
struct smtpd_service {
	struct role *role;
	struct service *service;
	const struct conf *c;
	struct policy *policy;
	struct tls_server *tls; /* NULL: no certificate */
	bool tls_offered;
	bool tls_required; /* encrypt */
	bool lmtp; /* RFC 2033 */
	bool submission; /* AUTH is on: a client's own server */
	struct content_checks *content; /* NULL: none */
	struct content_checks *milter_content; /* milter_header_checks */
	struct milter_list milters;
	struct maps *milter_maps;
	struct maps *dmarc_maps; /* smtpd_dmarc_policy_maps */
	struct endpoint proxy_filter; /* text empty: none */
	struct maps *ehlo_maps; /* smtpd_discard_ehlo_keyword_address_maps */
	struct maps *command_filter;
	struct maps *reject_footer_maps;
	struct maps *reject_filter; /* smtpd_reject_filter_maps */
	struct maps *local_login_senders;
	struct str reject_footer; /* not expanded */
	struct match_list *submit_users; /* of pickup */
	struct screen_rule *screen; /* postscreen_access_list */
	size_t screen_n;
	unsigned handovers; /* atomic: begun and not answered, handover.c */
	int64_t roomy_until_ms; /* atomic: the disk has room, mail.c */
	struct strs drop_headers; /* message_drop_headers */
	struct characters strip, reject; /* message_strip_characters ... */
	struct maps *screen_replies; /* postscreen_dnsbl_reply_map */
	struct match_list *screen_interfaces; /* where one may pass */
	struct match_list *xclient_hosts, *xforward_hosts, *verp_hosts;
	struct anvil *anvil;
	struct match_list *sasl_exceptions; /* to whom AUTH is not offered */
	struct match_list *limit_exceptions;
	struct match_list *account_exceptions;
};

/* A chunk that is being read: bdat.c */
struct bdat_chunk {
	uint64_t octets, left;
	bool last;
	bool taken; /* its octets are text; else they are dropped */
	int code; /* not taken: the reply at its end; 0: given already */
	const char *why;
	int64_t start_ms;
	uint64_t dropped;
};

/* Who gets a mail in the end: expand.c */
struct expanded {
	struct recipient *v;
	uint32_t n;
	uint32_t cap;
};

/* A mail that another role has, and has not answered for: handover.c */
struct handover {
	struct text text;
	struct envelope env; /* who is not delivered yet comes first */
	uint32_t recipients; /* all of them */
	struct usage_result usage;
	struct ipc_client *who; /* mailbox, or queue */
	int sock; /* where it answers; -1: nobody is asked */
};

/* RFC 5321 3.3: what MAIL begins and RSET, the end of the data or an error
 * of either ends.  All of it goes in transaction_reset. */
struct transaction {
	bool open;
	struct str sender; /* rewritten */
	struct str sender_said;
	struct str message_id; /* of the header, for the log */
	struct smtp_mail mail;
	struct recipient *rcpts;
	size_t n_rcpts; /* accepted RCPTs; before aliases */
	size_t cap_rcpts;
	unsigned overshoot; /* RCPTs beyond smtpd_recipient_limit */
	unsigned accepted; /* RCPTs answered with 250, duplicates too */
	unsigned more_replies; /* LMTP, after the data: see smtpd_data */
	uint64_t id;
	bool hold;
	bool discard;
	bool junk; /* set aside by DMARC */
	bool by_certificate; /* the client's let a recipient in */
	int priority; /* RFC 6710 */
	int64_t hold_until, deliver_by; /* Unix seconds; 0: not said */
	struct str verp; /* XVERP; absent without */
	struct str redirect;
	struct str filter; /* of a list or check; empty: content_filter's */
	struct strs prepend;
	struct reception *reception; /* the text; NULL before DATA or BDAT */
	struct handover *handover; /* NULL before the end of the data */
};

struct session {
	struct seat seat; /* first */
	struct smtpd_service *sv;
	struct stream *stream;
	struct arena *a; /* session */
	struct arena *tx_a; /* transaction */
	struct arena *cmd_a; /* command */
	char log_id[ID_TEXT]; /* in each line of the log */
	struct str command; /* at work, for the log: without credentials */
	unsigned char addr[16];
	size_t addr_len;
	struct str client; /* address as text */
	struct str client_name;
	struct str reverse_name;
	bool client_temp;
	struct str helo; /* absent before HELO */
	bool esmtp;
	struct str login; /* absent before AUTH */
	struct str sasl_method; /* with login */
	struct tls_peer peer; /* the client's certificate */
	const char *where; /* the command at work: RCPT, END-OF-MESSAGE */
	unsigned client_port;
	struct str server; /* our address as text */
	unsigned server_port;
	int64_t login_id;
	bool trusted; /* in mynetworks */
	bool xclient_allowed, xforward_allowed; /* the real client may */
	struct str local_user; /* its name, or "uid:N"; of a local service */
	unsigned uid; /* of sendmail's user, on pickup */
	bool pipelined;
	struct milter **milters; /* milters.h; NULL: none */
	bool milters_known; /* which ones they are */
	struct str connect_refusal; /* kept until MAIL: "550 5.7.1 ..." */
	struct str helo_refusal;
	struct str rcpt_said; /* the RCPT at work; absent else */
	struct str milter_rcpt; /* the RCPT at work, for the macros */
	bool quarantine; /* a filter wants all mail held */
	struct anvil_key anvil_key; /* with counted */
	bool screening; /* waits before the greeting */
	bool screen_failed;
	bool stranger; /* tested, not let in by a list */
	unsigned screen_tests; /* bits of anvil_pass: behind the greeting */
	struct str screen_refusal; /* of each RCPT: "550 5.7.1 ..." */
	bool counted; /* no exception from the limits */
	unsigned errors;
	unsigned junk;
	unsigned mails;
	bool greeted;
	bool closing; /* after the reply */
	bool handshake; /* STARTTLS: after the reply */
	int64_t delay_ms; /* before the reply goes out */
	bool asleep; /* for a delay: its end is no timeout */
	int64_t line_since_ms; /* a part of a line is there since; 0: none */
	enum {
		MODE_COMMANDS,
		MODE_DATA,
		MODE_BDAT,
		MODE_HANDOVER /* nothing is read: the answer is awaited */
	} mode;
	struct bdat_chunk chunk; /* in MODE_BDAT */
	struct transaction tx;
};

/* A command: args is good until it returns. */
typedef void smtpd_command_f(struct session *s, struct str args);

smtpd_command_f smtpd_helo, smtpd_ehlo, smtpd_mail, smtpd_rcpt, smtpd_data,
	smtpd_bdat, smtpd_rset, smtpd_noop, smtpd_quit, smtpd_vrfy, smtpd_help,
	smtpd_starttls, smtpd_auth, smtpd_xclient, smtpd_xforward, smtpd_etrn;

/* local_sender.c: true: answered. */
bool smtpd_local_sender_refused(struct session *s);
/* footer.c: smtpd_reject_filter_maps on a reply of 4xx or 5xx. */
void smtpd_reject_filter(struct session *s, int *code, char *text, size_t room);
/* smtpd_reject_footer for a reply; absent: none.  Lines end in LF,
 * "\\c" in front: the first belongs to the reply's own line. */
struct str smtpd_reject_footer(struct session *s, int code, const char *text);

/* The text as far as it has come; false: wait.  At its end, and when the
 * connection is lost, the mode is MODE_COMMANDS again. */
bool smtpd_data_more(struct session *s);
bool smtpd_bdat_more(struct session *s);

/* session.c, reply.c */
enum next smtpd_serve(struct seat *seat);
void smtpd_idle(struct seat *seat);
void smtpd_reply(struct session *s, int code, const char *fmt, ...)
	PRINTF_LIKE(3, 4);
/* The same for a bad command: counts it, may delay or end the session. */
void smtpd_refuse(struct session *s, int code, const char *fmt, ...)
	PRINTF_LIKE(3, 4);
/* A table failed: the log says which, the client does not learn it. */
void smtpd_refuse_lookup(
	struct session *s, struct str what, const struct fault *f);
void smtpd_refuse_decision(struct session *s, const struct check *c,
	const struct decision *d, const char *stage);
void transaction_reset(struct session *s);
/* HOLD, DISCARD, REDIRECT, PREPEND and warnings of a list that let pass. */
void smtpd_keep_actions(struct session *s, const struct check *c);
/* The same where there is no transaction they could be of. */
void smtpd_skip_actions(struct session *s, const struct check *c);
/* The same recipient said twice is one: attack 18. */
void transaction_add_rcpt(struct session *s, struct recipient r);
/* Does receive_override_options have the word? */
bool smtpd_overrides(const struct session *s, const char *word);
/* "ESMTP", "SMTP", "LMTP" */
const char *smtpd_protocol(const struct session *s);
/* All about the session for the restriction lists. */
struct check smtpd_check(struct session *s, struct arena *a);
bool smtpd_tls_handshake(struct session *s);
/* Reads a line in the middle of a command (AUTH). */
bool smtpd_read_line(struct session *s, size_t max, struct str *line_r);

/* auth.c: " SCRAM-SHA-256 PLAIN LOGIN"; false: AUTH is not on offer now */
bool smtpd_mechanisms(const struct session *s, struct buf *out);

/* extensions.c: enum smtp_offer of this session now */
unsigned smtpd_offered(struct session *s);
bool smtpd_keyword_discarded(struct session *s, struct str keyword);
const char *smtpd_future_release_keyword(struct session *s);
/* The parameters of MAIL become the transaction's; false: refused. */
bool smtpd_take_extensions(struct session *s);
void smtpd_mail_accepted(struct session *s);

/* etrn.c */
bool smtpd_etrn_offered(const struct session *s);

/* binary.c: BINARYMIME becomes lines, 8-bit text 7-bit where that is wanted. */
bool smtpd_convert_binary(
	struct session *s, struct text *text, struct fault *f);

/* verify.c; ctx: struct smtpd_service */
policy_verify_f smtpd_verify;

/* rates.c: smtpd_client_*_limit.  True: over the limit, and answered. */
bool smtpd_rate_connect(struct session *s);
bool smtpd_rate_over(struct session *s, enum anvil_event event);
void smtpd_rate_end(struct session *s);

/* connect.c */
void smtpd_accepted(int fd, void *ctx);
bool smtpd_greet(struct session *s);
/* The client is known: its lists and filters, then 220.  False: end. */
bool smtpd_begin(struct session *s);

/* mail.c: what is taken beside the RFC's syntax of addresses, and what it
 * stands for.  enum smtp_path_flags */
unsigned smtpd_path_flags(const struct session *s);
void smtpd_complete_path(
	const struct session *s, struct smtp_path *path, struct arena *a);
/* mail.c: may a program that is given the address take it for an option? */
bool smtpd_looks_like_option(const struct session *s, struct str address);

/* screen.c: tests before the greeting.  False: the session ends. */
bool smtpd_screen_begin(struct session *s); /* may set s->screening */
bool smtpd_screen_end(struct session *s, bool talked);
bool smtpd_screen_refuses(struct session *s); /* at RCPT: answered */
struct anvil_key smtpd_screen_key(const struct session *s);
/* A test failed; false: the session ends here, and has been told so. */
bool smtpd_screen_failed(struct session *s, const char *test, struct str action,
	const char *drop, struct str refusal);
/* screen_dnsbl.c: the sum of weights; *worst_r: the heaviest list */
int64_t smtpd_screen_dnsbl(struct session *s, struct str *worst_r);
/* screen_deep.c: which tests there are for this client */
void smtpd_screen_deep(struct session *s);
/* True: it broke the rule of a test, and the session ends. */
bool smtpd_screen_violates(struct session *s, enum anvil_pass pass);
/* It has brought a mail and broken none. */
void smtpd_screen_passes(struct session *s);
void smtpd_screen_rules(struct smtpd_service *sv, struct tables *tables,
	struct problems *problems);

/* xclient.c */
bool smtpd_proxy_header(struct session *s); /* false: end */
void smtpd_x_allowed(struct session *s);
void smtpd_x_keywords(struct session *s, struct strs *list);

/* spool.c: the text of one mail on its way to disk. */
struct spool {
	struct session *s;
	struct buf memory; /* what is not in the file yet */
	int fd; /* -1: all is in memory */
	bool head_done;
	bool failed; /* the disk: fault says why */
	struct fault fault;
	uint64_t size; /* bytes as the client sent them */
	size_t received; /* Received fields */
	bool loop;
	bool has_8bit;
	bool tls_optional; /* "TLS-Required: No" */
	bool says_8bit; /* Content-Transfer-Encoding: 8bit or binary */
	bool head_8bit, head_utf8; /* not ASCII; and UTF-8 */
	bool raw; /* BINARYMIME: octets are no characters */
};
void spool_init(struct spool *sp, struct session *s);
void spool_fini(struct spool *sp);
void spool_put(struct spool *sp, struct str text);
/* The whole message; a small one leans on the spool. */
bool spool_finish(struct spool *sp, struct text *text_r, struct fault *f);

/* The pieces in place of the text. */
bool spool_replace(struct session *s, const struct strs *pieces,
	struct text *text, struct fault *f);

/* content.c: header_checks and body_checks; *refused_r: answered. */
bool smtpd_check_content(
	struct session *s, struct text *text, bool *refused_r, struct fault *f);

/* authenticate.c: of a user, our networks or our programs? */
bool smtpd_is_own(const struct session *s);
/* SPF, DKIM, DMARC; *refused_r: answered. */
bool smtpd_authenticate(
	struct session *s, struct text *text, bool *refused_r, struct fault *f);
/* dmarc_seen.c: done: what was done with the message; results: value of
 * Authentication-Results. */
struct authentication;
void smtpd_tell_dmarc(struct session *s, const struct authentication *v,
	enum dmarc_policy done, struct str results, struct str message);
/* A verdict of ours that is not ours: RFC 8601 5. */
bool smtpd_forged_field(
	const struct session *s, const struct mail_field *field);

/* What a list of checks decided, but for a refusal and changes. */
void smtpd_take_content_actions(
	struct session *s, const struct content_result *r);
void smtpd_log_content(struct session *s, const struct content_result *r);

/* receive.c: the text of one mail, for DATA and BDAT. */
enum newline_mode { NEWLINE_REJECT, NEWLINE_NORMALIZE, NEWLINE_BINARY };
struct reception {
	struct session *session;
	struct smtp_data data;
	struct spool spool;
	enum newline_mode mode;
	bool over; /* message_size_limit */
	int64_t start_ms;
};
struct reception *reception_new(struct session *s);
void reception_free(struct reception *r); /* NULL is fine */
void reception_put(struct reception *r, struct str text);
/* The slowest that a client may be: a minimum rate behind a grace time. */
bool reception_too_slow(const struct session *s, const struct reception *r);
/* Too large already, or the disk failed?  True: answered. */
bool reception_refuses(struct reception *r);
/* All is there: answers, which ends the transaction, or begins the handover,
 * which will. */
void reception_end(struct reception *r);
void reception_failed(struct session *s, const struct fault *f); /* answers */
/* True: the list refused and answered. */
bool smtpd_data_list_refuses(struct session *s, enum restriction_stage stage);

/* account.c: counts the mail of a login, and has it held beyond its limits;
 * then tells the owner. */
void smtpd_account_check(struct session *s, struct usage_result *result_r);
void smtpd_account_tell(struct session *s, const struct usage_result *r);

/* proxy_filter.c: the message goes through the filter, whose answer is given.
 * False with a fault when it could not be asked. */
bool smtpd_proxy_filter(struct session *s, const struct text *text,
	const struct spool *sp, struct fault *f);

/* trace.c */
void smtpd_put_received(struct session *s, struct buf *out);

/* handover.c: from 354's end to 250. */
bool smtpd_put_in_queue(struct session *s, const struct envelope *env,
	const struct text *text, struct fault *f);
/* expand.c: aliases and copies of the transaction's recipients. */
bool smtpd_expand(struct session *s, struct expanded *x, struct fault *f);
/* Takes the text over.  The mode is MODE_HANDOVER then. */
bool smtpd_handover(struct session *s, struct text *text,
	const struct spool *sp, struct fault *f);
/* False: wait for the seat's await_fd.  At its end the mode is MODE_COMMANDS,
 * with the answer given, 250 when the mail is on disk. */
bool smtpd_handover_more(struct session *s);
void handover_free(struct session *s, struct handover *h); /* NULL is fine */

#endif
