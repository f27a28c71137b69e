/* SPDX-License-Identifier: ISC */
#ifndef CODEC_MAIL_DSN_H
#define CODEC_MAIL_DSN_H

/*
 * dsn: a delivery status notification as a whole message.
 *
 * RFC 3464 2 (message/delivery-status), RFC 6522 (multipart/report),
 * RFC 3461 6 (who gets which), RFC 3834 5 (Auto-Submitted), RFC 6533 (UTF-8)
 *
 * Pure.  Lines end in CRLF.
 */

#include "base/buf.h"
#include "codec/mail/dsn_words.h"

enum dsn_action { DSN_FAILED, DSN_DELAYED, DSN_DELIVERED, DSN_RELAYED };

struct dsn_rcpt {
	struct str address;
	struct str orcpt; /* "rfc822;..."; absent without */
	enum dsn_action action;
	int class, subject, detail; /* Status */
	struct str reply; /* Diagnostic-Code */
	bool from_mta; /* the reply is another server's */
	struct str mta; /* Remote-MTA; absent without */
	int64_t will_retry_until; /* DSN_DELAYED */
	enum dsn_cause cause; /* in plain words; of FAILED and DELAYED */
};

/* In place of our own words, in UTF-8: bounce(5). */
struct dsn_template {
	struct str from, subject; /* absent: ours */
	struct str text; /* what stands above the recipients */
};

struct dsn {
	struct str reporting_mta; /* myhostname */
	struct str mail_name;
	struct str message_id; /* without <> */
	struct str to; /* who gets the report */
	struct str envid; /* absent without */
	struct str queue_id;
	int64_t arrival;
	int64_t now;
	int zone_minutes;
	const struct dsn_rcpt *rcpts;
	size_t n_rcpts;
	struct str original; /* the message */
	bool headers_only;
	bool threaded; /* an answer to the message: References */
	bool utf8; /* the message, or an address, needs SMTPUTF8 */
	const struct dsn_words *words;
	const struct dsn_template *template; /* NULL: none */
};

void dsn_put(const struct dsn *d, struct buf *out);

#endif
