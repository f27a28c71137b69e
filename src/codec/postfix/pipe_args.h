/* SPDX-License-Identifier: ISC */
#ifndef CODEC_POSTFIX_PIPE_ARGS_H
#define CODEC_POSTFIX_PIPE_ARGS_H

/*
 * The words of a pipe transport in master.cf, and the command that they make
 * of a mail: pipe(8).
 *
 * Pure.  A value never becomes more than one word, and never an option.
 */

#include "base/arena.h"

enum pipe_flags {
	PIPE_BLANK = 1u << 0, /* B: a blank line behind the message */
	PIPE_DELIVERED_TO = 1u << 1, /* D */
	PIPE_FROM_LINE = 1u << 2, /* F: "From sender date" */
	PIPE_ORIGINAL_TO = 1u << 3, /* O: X-Original-To */
	PIPE_RETURN_PATH = 1u << 4, /* R */
	PIPE_FINAL = 1u << 5, /* X: the end of its way */
	PIPE_FOLD_DOMAIN = 1u << 6, /* h: nexthop, domain in lower case */
	PIPE_FOLD_USER = 1u << 7, /* u */
	PIPE_QUOTE = 1u << 8, /* q: blanks of a local part in quotes */
	PIPE_DOT = 1u << 9, /* .: SMTP's dots */
	PIPE_QUOTE_FROM = 1u << 10, /* >: ">From " */
};

struct pipe_args {
	unsigned flags;
	struct str user, group; /* group: absent: the user's */
	struct str directory; /* absent: the spool */
	struct str null_sender; /* what $sender is for <> */
	struct str eol;
	uint64_t size; /* bytes at most; 0: no limit */
	struct strs argv;
};

/* -o settings among the words are skipped.  False: *why_r says why. */
bool pipe_args_parse(const struct strs *words, struct arena *a,
	struct pipe_args *args_r, const char **why_r);

struct pipe_rcpt {
	struct str address, original;
	struct str user, extension; /* of the local part */
};
struct pipe_mail {
	struct str sender, nexthop, queue_id, login;
	struct str client_address, client_hostname, client_helo;
	struct str client_protocol, sasl_method, sasl_sender;
	unsigned client_port;
	uint64_t size;
	const struct pipe_rcpt *rcpts;
	size_t n_rcpts;
};

/* A word with a recipient's macro stands once for each recipient. */
bool pipe_argv(const struct pipe_args *args, const struct pipe_mail *mail,
	struct arena *a, struct strs *argv_r, const char **why_r);

#endif
