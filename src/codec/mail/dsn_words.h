/* SPDX-License-Identifier: ISC */
#ifndef CODEC_MAIL_DSN_WORDS_H
#define CODEC_MAIL_DSN_WORDS_H

/*
 * dsn_words: what a report says to people, one language a file (dsn_en.c,
 * dsn_de.c).  Another language is another file and a line in dsn_words.c.
 *
 * RFC 3463 (what a status means), RFC 5646 (language tags), RFC 3282 (how a
 * message says which its sender reads)
 */

#include "base/attr.h"
#include "base/str.h"

/* What went wrong, for somebody who does not know codes. */
enum dsn_cause {
	DSN_CAUSE_OTHER,
	DSN_CAUSE_ADDRESS, /* nobody of that name */
	DSN_CAUSE_DOMAIN, /* no such place */
	DSN_CAUSE_FULL, /* mailbox */
	DSN_CAUSE_DISABLED, /* mailbox */
	DSN_CAUSE_SIZE, /* of the message */
	DSN_CAUSE_REFUSED, /* by the rules of the other side */
	DSN_CAUSE_UNREACHED, /* the other server did not answer */
	DSN_CAUSE_LOOP,
	DSN_CAUSE_SECURITY, /* no way as safe as was asked for */
	DSN_CAUSE_FORM, /* the next server cannot take this kind of text */
	DSN_CAUSE_OURS, /* our own server is not in order */
	DSN_CAUSE_TIME, /* not by the time that was asked for */
	DSN_CAUSE_ADMINISTRATOR, /* a person gave it up */
	DSN_CAUSES
};

struct dsn_words {
	const char *language; /* "en" */
	/* by enum dsn_action; ASCII */
	const char *subject[4];
	const char *lead[4];
	const char *from_system; /* "%": our name */
	const char *host_said; /* "%": the other's */
	const char *tried_until; /* a date comes behind */
	const char *details; /* what stands below */
	struct {
		const char *what; /* and whose fault it is */
		const char *todo;
	} cause[DSN_CAUSES];
};

extern const struct dsn_words dsn_words_en, dsn_words_de;

/* Of Accept-Language or Content-Language: the first, best weighted, that there
 * is; NULL: none of them. */
const struct dsn_words *dsn_words_find(struct str languages);

/* from_us: the status is our own finding, not another server's word. */
enum dsn_cause dsn_cause_of(int class, int subject, int detail, bool from_us);

#endif
