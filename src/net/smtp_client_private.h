/* SPDX-License-Identifier: ISC */
#ifndef NET_SMTP_CLIENT_PRIVATE_H
#define NET_SMTP_CLIENT_PRIVATE_H

/* Shared by smtp_client.c (the dialog), smtp_client_ehlo.c (what the server
 * can) and smtp_client_text.c (DATA and BDAT). */

#include "net/smtp_client.h"

enum { SMTP_CLIENT_LINE_MAX = 4096 };

/* The stream has failed. */
bool smtp_client_lost(struct smtp_client *c, struct fault *f);
/* Sends what waits and reads one reply into c->reply. */
bool smtp_client_read_reply(struct smtp_client *c, int64_t ms, struct fault *f);
/* The same, each of its lines told as it comes; first: of the reply. */
typedef void smtp_client_line_f(
	struct smtp_client *c, struct str line, bool first);
bool smtp_client_read_lines(struct smtp_client *c, int64_t ms,
	smtp_client_line_f *line, struct fault *f);
/* The same, of a class; false with the reply as the fault where it is not. */
bool smtp_client_expect(
	struct smtp_client *c, int64_t ms, int class, struct fault *f);
/* Nothing is to come now: false where the server has said something all the
 * same, a refusal with its words.  What was not asked yet is not answered. */
bool smtp_client_in_step(struct smtp_client *c, struct fault *f);
/* The recipients have been said: the text, and what comes back. */
bool smtp_client_text(
	struct smtp_client *c, struct smtp_client_mail *m, struct fault *f);

#endif
