/* SPDX-License-Identifier: ISC */
#ifndef ROLE_MAILBOX_GATE_GATE_H
#define ROLE_MAILBOX_GATE_GATE_H

/*
 * gate: IMAP and POP3 before login.  Touches no mail: it knows TLS, AUTH and
 * how to say who we are, and hands an authenticated session on.  Written so
 * that it can become a process of its own.
 */

#include "role/accounts.h"
#include "role/mailbox/mailbox.h"

enum { GATE_LINE_MAX = 8192, GATE_LITERAL_MAX = 4096, GATE_FAILURES_MAX = 5 };

struct gate {
	struct seat seat; /* first */
	struct mailbox_service *sv;
	struct stream *stream;
	struct arena *a; /* session */
	struct arena *cmd_a; /* command */
	struct str client; /* address as text */
	bool greeted;
	bool closing;
	bool handshake;
	int64_t delay_ms;
	unsigned failures;
	unsigned errors;
	/* set by a login */
	struct str login;
	int64_t account;
	struct str user; /* POP3 USER */
	bool utf8; /* POP3 UTF8 */
};

/* Accepts for IMAP and POP3; ctx: struct mailbox_service */
void gate_accepted_imap(int fd, void *ctx);
void gate_accepted_pop3(int fd, void *ctx);

/* A session that is nobody's again (RFC 8437); a: the memory of the session,
 * client points into it.  Takes the stream and a over. */
void gate_imap_again(struct crew *crew, struct mailbox_service *sv,
	struct stream *stream, struct arena *a, struct str client);

/* Shared by imap.c and pop3.c of this folder. */
struct gate *gate_of(struct seat *seat);
/* A new connection: its gate goes to the crew, which owns it from now on. */
void gate_accepted(int fd, struct mailbox_service *sv, seat_serve_f *serve);
/* A session that is nobody's again; takes the stream and a over. */
void gate_again(struct crew *crew, struct mailbox_service *sv,
	struct stream *stream, struct arena *a, struct str client,
	seat_serve_f *serve);
bool gate_begin(struct gate *g, bool wrapper);
bool gate_start_tls(struct gate *g);
/* May a password be said now? */
bool gate_may_login(const struct gate *g);
enum next gate_end(struct gate *g);
/* Flushes, or sleeps for a delay, or parks. */
enum next gate_park(struct gate *g, int64_t timeout_ms);

/*
 * A SASL exchange in base64 lines after "+ ".  initial absent: ask.
 * What went wrong is in *r; false when the connection is gone.
 */
bool gate_sasl(struct gate *g, const char *mechanism, struct str initial,
	enum auth_result *r);
/* LOGIN, USER/PASS */
enum auth_result gate_password(
	struct gate *g, struct str user, struct str password);
/* NULL: not offered (now). */
const char *gate_mechanism(const struct gate *g, struct str name);
/* The names of all that are, each between two texts. */
void gate_put_mechanisms(
	struct gate *g, const char *before, const char *behind);

#endif
