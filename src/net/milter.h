/* SPDX-License-Identifier: ISC */
#ifndef NET_MILTER_H
#define NET_MILTER_H

/*
 * milter: one mail filter and our talk with it, one for each SMTP session.
 *
 * A filter that does not answer, or breaks the protocol, gives its default
 * action, from then on for the whole session; nothing it half said is used.
 * One thread at a time for a talk; a milter_def is read-only and shared.
 */

#include "codec/milter/packet.h"
#include "net/endpoint.h"

enum milter_default {
	MILTER_DEFAULT_ACCEPT,
	MILTER_DEFAULT_REJECT,
	MILTER_DEFAULT_TEMPFAIL,
	MILTER_DEFAULT_QUARANTINE,
	MILTER_DEFAULT_SHUTDOWN,
};

struct milter_def {
	struct endpoint endpoint;
	int64_t connect_ms, command_ms, content_ms;
	enum milter_default on_failure;
	/* Names, blank or comma apart; the last are for an unknown command,
	 * which a filter does not choose. */
	struct str macros[MILTER_STAGES + 1];
};

enum milter_verdict_kind {
	MILTER_GO_ON,
	MILTER_REFUSE, /* code and text */
	MILTER_DROP, /* take the message and throw it away */
};

struct milter_verdict {
	enum milter_verdict_kind kind;
	int code;
	struct str text; /* "5.7.1 ..."; in the arena */
	bool quarantine; /* hold the message */
	bool end; /* 421: the session ends */
};

/* The value of a macro ("i", "{auth_authen}"); absent: not known. */
typedef struct str milter_macro_f(struct str name, void *ctx);

struct milter;
/* Never NULL; connects at the first event. */
struct milter *milter_new(
	const struct milter_def *def, milter_macro_f *macro, void *ctx);
void milter_free(struct milter *m); /* says QUIT; NULL is fine */
const struct milter_def *milter_def_of(const struct milter *m);
/* True once after it has failed, for the log. */
bool milter_failed_now(struct milter *m);
/* Header values come and go with the blank behind the colon? */
bool milter_keeps_space(const struct milter *m);

/* Gives buffers back while the session is parked. */
void milter_trim(struct milter *m);

/* Events.  ip: "" for an unknown address. */
struct milter_verdict milter_connect(struct milter *m, struct str host,
	struct str ip, bool six, unsigned port, struct arena *a);
struct milter_verdict milter_helo(
	struct milter *m, struct str name, struct arena *a);
struct milter_verdict milter_mail(
	struct milter *m, struct str address, struct arena *a);
struct milter_verdict milter_rcpt(
	struct milter *m, struct str address, struct arena *a);
struct milter_verdict milter_data(struct milter *m, struct arena *a);
struct milter_verdict milter_unknown(
	struct milter *m, struct str line, struct arena *a);
struct milter_verdict milter_header(
	struct milter *m, struct str name, struct str value, struct arena *a);
struct milter_verdict milter_eoh(struct milter *m, struct arena *a);
/* All of the body, in pieces of the protocol's size. */
struct milter_verdict milter_body(
	struct milter *m, struct str body, struct arena *a);

/* What a filter wants changed; strings live in the arena. */
struct milter_change {
	struct milter_reply what;
	struct milter_change *next;
};
/* The end of the message: *changes_r in order.  REPLACE_BODY changes are
 * pieces of one new body.  body_max: bytes of it at most. */
struct milter_verdict milter_eom(struct milter *m, size_t body_max,
	struct arena *a, struct milter_change **changes_r);
/* The message ends without EOM. */
void milter_abort(struct milter *m);

#endif
