/* SPDX-License-Identifier: ISC */
#ifndef NET_SCRAM_H
#define NET_SCRAM_H

/*
 * scram: the client side of SCRAM-SHA-256 as a conversation.
 * RFC 5802 3 and 5, RFC 7677.  Without channel binding.
 */

#include "base/arena.h"

enum { SCRAM_BYTES = 32 };

struct scram_client {
	struct str first; /* to send */
	struct str bare;
	struct str password;
	struct str nonce;
	struct arena *a;
	unsigned char server_signature[SCRAM_BYTES];
};

void scram_client_begin(struct scram_client *s, struct str user,
	struct str password, struct arena *a);
/* server-first to client-final; false when it is broken or too costly. */
bool scram_client_answer(
	struct scram_client *s, struct str server_first, struct str *final_r);
bool scram_client_verify(const struct scram_client *s, struct str server_final);

#endif
