/* SPDX-License-Identifier: ISC */
#ifndef ROLE_MAILBOX_POP3_POP3_H
#define ROLE_MAILBOX_POP3_POP3_H

/* pop3: a session in the TRANSACTION state, RFC 1939 5.  The list of
 * messages is fixed at login; DELE acts at QUIT and only there. */

#include "role/mailbox/gate/gate.h"

void pop3_begin(struct gate *g);

/* offer.c */
/* The lines of CAPA that are the same before and after login. */
void pop3_put_capabilities(
	const struct mailbox_service *sv, struct stream *stream);
void pop3_lang(struct stream *stream, struct str args);
/* Seconds until this account may log in again; 0: now, and it counts. */
int64_t pop3_login_wait(const struct mailbox_service *sv, int64_t account);
struct pop3_logins *pop3_logins_new(void);

#endif
