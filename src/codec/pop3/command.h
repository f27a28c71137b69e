/* SPDX-License-Identifier: ISC */
#ifndef CODEC_POP3_COMMAND_H
#define CODEC_POP3_COMMAND_H

/*
 * pop3_command: one command line, without its CRLF.
 *
 * RFC 1939 3 (keywords, at most 40 byte arguments), RFC 2449 4 (255 octets)
 *
 * Pure.  Views point into the line.
 */

#include "base/str.h"

enum { POP3_LINE_MAX = 255, POP3_AUTH_LINE_MAX = 16384 };

struct pop3_command {
	struct str verb;
	struct str args; /* all behind the first blank (PASS keeps blanks) */
};

/* False for an empty verb or control bytes in the line. */
bool pop3_command_parse(struct str line, struct pop3_command *cmd_r);
/* A message number or line count: 1*DIGIT, below 2^31. */
bool pop3_number(struct str s, uint32_t *value_r);

#endif
