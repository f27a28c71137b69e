/* SPDX-License-Identifier: ISC */
#ifndef ROLE_MAILBOX_POP3_POP3_H
#define ROLE_MAILBOX_POP3_POP3_H

/* pop3: a session in the TRANSACTION state, RFC 1939 5.  The list of
 * messages is fixed at login; DELE acts at QUIT and only there. */

#include "role/mailbox/gate/gate.h"

void pop3_begin(struct gate *g);

#endif
