/* SPDX-License-Identifier: ISC */
#ifndef CODEC_SMTP_COMMAND_H
#define CODEC_SMTP_COMMAND_H

/*
 * smtp_command: one command line, without its CRLF, cut into verb and
 * argument; and the arguments of MAIL and RCPT with their parameters.
 *
 * RFC 5321 4.1.1 (syntax), 4.1.2 (Mail-parameters)
 * RFC 1870 (SIZE), RFC 6152 (BODY), RFC 6531 (SMTPUTF8), RFC 4954 (AUTH=)
 * RFC 3461 4 (RET, ENVID, NOTIFY, ORCPT; xtext)
 * RFC 3030 3 (BINARYMIME), RFC 8689 2 (REQUIRETLS), RFC 6710 5 (MT-PRIORITY)
 * RFC 2852 4 (BY), RFC 4865 4 (HOLDFOR, HOLDUNTIL)
 *
 * Pure.  Views point into the line.
 */

#include "base/arena.h"
#include "codec/smtp/path.h"

enum {
	SMTP_LINE_MAX = 2048,
	SMTP_AUTH_LINE_MAX =
		12288, /* RFC 4954 4: of AUTH, a token may be long */
	SMTP_PARAMS_MAX = 16,
};

struct smtp_command {
	struct str verb; /* as sent */
	struct str args; /* behind the blank; empty without */
};

/* False for an empty verb or control bytes (NUL, ESC, ...) in the line. */
bool smtp_command_parse(struct str line, struct smtp_command *cmd_r);

enum smtp_mail_flags {
	SMTP_MAIL_SIZE = 1u << 0,
	SMTP_MAIL_8BIT = 1u << 1, /* BODY=8BITMIME */
	SMTP_MAIL_UTF8 = 1u << 2, /* SMTPUTF8 */
	SMTP_MAIL_RET_FULL = 1u << 3,
	SMTP_MAIL_RET_HDRS = 1u << 4,
	SMTP_MAIL_BINARY = 1u << 5, /* BODY=BINARYMIME */
	SMTP_MAIL_REQUIRETLS = 1u << 6,
	SMTP_MAIL_PRIORITY = 1u << 7,
	SMTP_MAIL_BY = 1u << 8,
	SMTP_MAIL_BY_RETURN = 1u << 9, /* by-mode R; else N */
	SMTP_MAIL_BY_TRACE = 1u << 10,
	SMTP_MAIL_HOLDFOR = 1u << 11,
	SMTP_MAIL_HOLDUNTIL = 1u << 12,
	SMTP_MAIL_VERP = 1u << 13,
};

/* The parameters that are known only where EHLO named their extension. */
enum smtp_offer {
	SMTP_OFFER_UTF8 = 1u << 0,
	SMTP_OFFER_BINARYMIME = 1u << 1,
	SMTP_OFFER_REQUIRETLS = 1u << 2,
	SMTP_OFFER_PRIORITY = 1u << 3,
	SMTP_OFFER_DELIVERBY = 1u << 4,
	SMTP_OFFER_FUTURERELEASE = 1u << 5,
	SMTP_OFFER_VERP = 1u << 6,
};

struct smtp_mail {
	struct smtp_path from;
	unsigned flags;
	unsigned seen; /* parameters, by their rows */
	uint64_t size; /* with SMTP_MAIL_SIZE */
	int priority; /* with SMTP_MAIL_PRIORITY: -9 to 9 */
	int64_t by; /* with SMTP_MAIL_BY: seconds from now, may be negative */
	int64_t hold_for; /* with SMTP_MAIL_HOLDFOR: seconds */
	int64_t hold_until; /* with SMTP_MAIL_HOLDUNTIL: Unix seconds */
	struct str envid; /* decoded; absent without */
	struct str auth; /* decoded AUTH=; absent without */
	struct str verp; /* XVERP's delimiters; absent: by default */
};

enum smtp_notify {
	SMTP_NOTIFY_NEVER = 1u << 0,
	SMTP_NOTIFY_SUCCESS = 1u << 1,
	SMTP_NOTIFY_FAILURE = 1u << 2,
	SMTP_NOTIFY_DELAY = 1u << 3,
};

struct smtp_rcpt {
	struct smtp_path to;
	unsigned notify; /* 0: not given */
	struct str orcpt; /* "type;address" decoded; absent without */
};

/* What went wrong with an argument, ready for the reply. */
struct smtp_refusal {
	int code; /* 501, 555, 552 */
	const char *enhanced; /* "5.5.4" */
	const char *text;
};

/*
 * Reads the argument of MAIL ("FROM:<...> ...") or RCPT ("TO:<...> ...").
 * Decoded values are in the arena.  The result is untouched on failure.
 * offered: enum smtp_offer.  loose: enum smtp_path_flags that say what else
 * than the RFC's syntax is taken; with SMTP_PATH_BARE blanks before <, too.
 */
bool smtp_mail_parse(struct str args, unsigned offered, unsigned loose,
	struct arena *a, struct smtp_mail *mail_r,
	struct smtp_refusal *refusal_r);
bool smtp_rcpt_parse(struct str args, bool utf8, unsigned loose,
	struct arena *a, struct smtp_rcpt *rcpt_r,
	struct smtp_refusal *refusal_r);

/* mail_params.c: one parameter of MAIL; false with the refusal. */
bool smtp_mail_param(struct str key, struct str value, unsigned offered,
	struct arena *a, struct smtp_mail *mail,
	struct smtp_refusal *refusal_r);

/* The argument of BDAT, "size [LAST]": RFC 3030 2. */
bool smtp_bdat_parse(struct str args, uint64_t *octets_r, bool *last_r);

/* RFC 3461 4 xtext; false on a broken escape or a decoded control byte. */
bool smtp_xtext_decode(struct str s, struct arena *a, struct str *text_r);
struct str smtp_xtext_encode(struct str s, struct arena *a);

#endif
